/* The bundle for the reader's own servers, made here: the same rules, the same files and the
   same bytes as `invoke bundle --inventory` (workshop/inventory.py, workshop/bundle.py). What
   is known of fields, rules and files comes from there, as data. */
"use strict"

const Inventory = {
  /* What is wrong with each value: {key: words}; empty when all is well. */
  complaints(values, data) {
    const found = {}
    const complain = (key, text, other) => {
      const words = { value: JSON.stringify(values[key]), field: other, other: values[other] }
      found[key] = text.replace(/\{(\w+)\}/g, (_, word) => words[word])
    }
    for (const { key, kind } of data.fields) {
      const { pattern, except, says } = data.kinds[kind]
      const fits = new RegExp(`^(?:${pattern})$`).test(values[key])
      if (!fits || except.includes(values[key])) complain(key, says)
    }
    for (const { kind, field, other } of data.relations) {
      if (field in found || other in found) continue
      if (!this.holds[kind](values[field], values[other])) complain(field, data.says[kind], other)
    }
    return found
  },

  holds: {
    first: network => number(network.split("/")[0]) === span(network)[0],
    inside: (address, network) => {
      const [first, last] = span(network)
      return first < number(address) && number(address) < last
    },
    apart: (one, other) => span(one)[1] < span(other)[0] || span(other)[1] < span(one)[0],
    distinct: (one, other) => one !== other,
  },

  /* `text` as [piece, key] pairs in order; `key` where the piece is a value, else empty. */
  pieces(text, values, data) {
    const known = { ...values }
    for (const [key, of] of Object.entries(data.derived)) known[key] = values[of].split("/")[1] ?? ""
    const found = []
    let at = 0
    for (const match of text.matchAll(new RegExp(data.token, "g"))) {
      found.push([text.slice(at, match.index), ""], [known[match[1]], match[1]])
      at = match.index + match[0].length
    }
    return [...found, [text.slice(at), ""]]
  },

  substitute(text, values, data) {
    return this.pieces(text, values, data).map(([piece]) => piece).join("")
  },
}

const Bundle = {
  /* The bundle's files: [{path, content, mode}], content in bytes. */
  files(values, data) {
    const bytes = new TextEncoder()
    const found = data.files.map(({ path, text, mode }) => ({
      path: Inventory.substitute(path, values, data),
      content: bytes.encode(Inventory.substitute(text, values, data)),
      mode,
    }))
    const sums = found.map(({ path, content }) => `${sha256(content)}  ${path}\n`).join("")
    return [...found, { path: data.sums, content: bytes.encode(sums), mode: "0644" }]
  },

  /* A .zip that compresses nothing, as a Blob. */
  zip(files, folder) {
    const parts = [], directory = []
    let offset = 0
    for (const { path, content, mode } of files) {
      const name = new TextEncoder().encode(`${folder}/${path}`)
      const unicode = name.some(byte => byte > 127) ? 0x800 : 0
      // version 2.0, stored, 1 January 1980
      const common = [[2, 20], [2, unicode], [2, 0], [2, 0], [2, 33], [4, crc32(content)],
        [4, content.length], [4, content.length], [2, name.length], [2, 0]]
      const local = packed([4, 0x04034b50], ...common)
      const attributes = ((0o100000 | parseInt(mode, 8)) << 16) >>> 0
      directory.push(
        packed([4, 0x02014b50], [1, 20], [1, 3], ...common, [2, 0], [2, 0], [2, 0],
          [4, attributes], [4, offset]),
        name)
      parts.push(local, name, content)
      offset += local.length + name.length + content.length
    }
    const size = directory.reduce((total, part) => total + part.length, 0)
    const end = packed([4, 0x06054b50], [2, 0], [2, 0], [2, files.length], [2, files.length],
      [4, size], [4, offset], [2, 0])
    return new Blob([...parts, ...directory, end], { type: "application/zip" })
  },
}

/* An address as a number. */
function number(address) {
  return address.split(".").reduce((total, part) => total * 256 + Number(part), 0)
}

/* First and last address of a network, as numbers. */
function span(network) {
  const [address, bits] = network.split("/")
  const size = 2 ** (32 - Number(bits))
  const first = Math.floor(number(address) / size) * size
  return [first, first + size - 1]
}

/* Little-endian numbers, each given as [bytes, value]. */
function packed(...numbers) {
  return Uint8Array.from(numbers.flatMap(([count, value]) =>
    Array.from({ length: count }, (_, i) => (value >>> (8 * i)) & 255)))
}

function crc32(bytes) {
  let crc = ~0
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1))
  }
  return ~crc >>> 0
}

/* SHA-256 in hexadecimal: the browser's own is missing where a page comes over plain HTTP. */
function sha256(bytes) {
  const primes = []
  for (let n = 2; primes.length < 64; n++) if (primes.every(p => n % p)) primes.push(n)
  const fraction = root => ((root - Math.floor(root)) * 2 ** 32) | 0
  const rounds = primes.map(prime => fraction(Math.cbrt(prime)))
  const hash = primes.slice(0, 8).map(prime => fraction(Math.sqrt(prime)))
  const turn = (word, bits) => (word >>> bits) | (word << (32 - bits))

  const blocks = new DataView(new ArrayBuffer(((bytes.length + 8) >> 6) * 64 + 64))
  new Uint8Array(blocks.buffer).set(bytes)
  blocks.setUint8(bytes.length, 128)
  blocks.setBigUint64(blocks.byteLength - 8, BigInt(bytes.length) * 8n)
  const words = new Int32Array(64)
  for (let at = 0; at < blocks.byteLength; at += 64) {
    for (let i = 0; i < 16; i++) words[i] = blocks.getInt32(at + 4 * i)
    for (let i = 16; i < 64; i++) {
      const early = words[i - 15], late = words[i - 2]
      words[i] = words[i - 16] + words[i - 7]
        + (turn(early, 7) ^ turn(early, 18) ^ (early >>> 3))
        + (turn(late, 17) ^ turn(late, 19) ^ (late >>> 10))
    }
    let [a, b, c, d, e, f, g, h] = hash
    for (let i = 0; i < 64; i++) {
      const first = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g))
        + rounds[i] + words[i]) | 0
      const second = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0
      ;[h, g, f, e, d, c, b, a] = [g, f, e, (d + first) | 0, c, b, a, (first + second) | 0]
    }
    ;[a, b, c, d, e, f, g, h].forEach((word, i) => { hash[i] = (hash[i] + word) | 0 })
  }
  return hash.map(word => (word >>> 0).toString(16).padStart(8, "0")).join("")
}
