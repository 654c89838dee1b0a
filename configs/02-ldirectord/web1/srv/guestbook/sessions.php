<?php
// Sessions in memory, spread over all web servers: each of them finds any session.
// PHP's own handler for memcached lets a store that failed once out for as long as its worker
// lives; this one asks it again after $again seconds.
declare(strict_types=1);

final class SharedSessions implements SessionHandlerInterface, SessionUpdateTimestampHandlerInterface
{
    private Memcached $stores;

    /** $hosts: where a memcached listens. */
    public function __construct(array $hosts, int $again = 5)
    {
        $this->stores = new Memcached('sessions'); // a worker keeps its connections
        if ($this->stores->getServerList() === []) {
            $this->stores->setOptions([
                Memcached::OPT_LIBKETAMA_COMPATIBLE => true, // a store that goes takes only its own
                Memcached::OPT_CONNECT_TIMEOUT => 300, // milliseconds
                Memcached::OPT_POLL_TIMEOUT => 300,
                Memcached::OPT_SERVER_FAILURE_LIMIT => 1,
                Memcached::OPT_REMOVE_FAILED_SERVERS => true,
                Memcached::OPT_DEAD_TIMEOUT => $again,
            ]);
            $this->stores->addServers(array_map(static fn (string $host): array => [$host, 11211], $hosts));
        }
    }

    /** What the stores answer. Who fails is left out, and the next one is asked. */
    private function ask(callable $question): mixed
    {
        $answer = $question();
        $answers = [Memcached::RES_SUCCESS, Memcached::RES_NOTFOUND];
        return in_array($this->stores->getResultCode(), $answers, true) ? $answer : $question();
    }

    public function open(string $path, string $name): bool
    {
        return true;
    }

    public function close(): bool
    {
        return true;
    }

    public function read(string $id): string
    {
        return (string) $this->ask(fn () => $this->stores->get($id));
    }

    public function write(string $id, string $data): bool
    {
        $seconds = (int) ini_get('session.gc_maxlifetime');
        return $this->ask(fn () => $this->stores->set($id, $data, $seconds));
    }

    public function destroy(string $id): bool
    {
        $this->ask(fn () => $this->stores->delete($id));
        return true;
    }

    public function gc(int $seconds): int
    {
        return 0; // memcached forgets by itself
    }

    /** Whether a visitor's number is of a session that is there: nobody may bring an invented one. */
    public function validateId(string $id): bool
    {
        return $this->ask(fn () => $this->stores->get($id)) !== false;
    }

    public function updateTimestamp(string $id, string $data): bool
    {
        return $this->write($id, $data);
    }
}

session_set_save_handler(new SharedSessions(['192.168.57.13', '192.168.57.14']), true);
