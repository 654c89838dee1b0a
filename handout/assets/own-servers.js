/* The page "Your own servers": a form, the files with its values in place, and a download. */
"use strict"

{
  const data = OWN_SERVERS_DATA
  const form = document.getElementById("own-servers")
  const status = document.getElementById("own-status")
  const choice = document.getElementById("own-file")
  const preview = document.getElementById("own-preview")

  const element = (name, attributes = {}, ...children) => {
    const made = document.createElement(name)
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
    made.append(...children)
    return made
  }

  const inputs = {}
  const values = () =>
    Object.fromEntries(Object.entries(inputs).map(([key, input]) => [key, input.value]))

  const fieldset = group => {
    const made = element("fieldset", {}, element("legend", {}, group))
    for (const field of data.fields.filter(each => each.group === group)) {
      const id = `own-${field.key.replaceAll(".", "-")}`
      inputs[field.key] = element("input", {
        id, name: field.key, value: field.default, "aria-describedby": `${id}-hint ${id}-error`,
        autocomplete: "off", autocapitalize: "off", spellcheck: "false", maxlength: 100,
      })
      made.append(element("div", { class: "own-field" },
        element("label", { for: id }, field.label),
        inputs[field.key],
        element("p", { class: "own-hint", id: `${id}-hint` },
          field.explains, " ", element("code", {}, field.key)),
        element("p", { class: "own-error", id: `${id}-error` })))
    }
    return made
  }

  const groups = [...new Set(data.fields.map(field => field.group))]
  form.prepend(...groups.map(fieldset))

  const folders = {}
  data.files.forEach(({ path }, index) => {
    const folder = path.includes("/") ? path.split("/")[0] : "For all labs"
    folders[folder] ??= choice.appendChild(element("optgroup", { label: folder }))
    folders[folder].append(element("option", { value: index }))
  })
  choice.value = data.files.findIndex(({ path }) => path.endsWith("/ha.cf"))
  if (choice.selectedIndex < 0) choice.selectedIndex = 0

  const show = () => {
    const now = values()
    for (const option of choice.options) {
      option.textContent = Inventory.substitute(data.files[option.value].path, now, data)
    }
    const pieces = Inventory.pieces(data.files[choice.value].text, now, data)
    preview.replaceChildren(...pieces.map(([piece, key]) =>
      key ? element("mark", { title: key }, piece) : piece))
  }

  const judge = () => {
    const wrong = Inventory.complaints(values(), data)
    for (const [key, input] of Object.entries(inputs)) {
      const error = document.getElementById(`${input.id}-error`)
      const words = wrong[key] ?? ""
      if (error.textContent !== words) error.textContent = words
      input.setAttribute("aria-invalid", String(key in wrong))
    }
    const count = Object.keys(wrong).length
    const words = count
      ? `${count} value${count > 1 ? "s" : ""} cannot be used yet.`
      : "All values can be used."
    if (status.textContent !== words) status.textContent = words
    return wrong
  }

  const refresh = () => {
    judge()
    show()
  }
  form.addEventListener("input", refresh)
  form.addEventListener("reset", () => setTimeout(refresh)) // once the values are back
  choice.addEventListener("change", show)

  form.addEventListener("submit", event => {
    event.preventDefault()
    const [first] = Object.keys(judge())
    if (first) {
      inputs[first].focus()
      return
    }
    const link = element("a", { download: data.download })
    link.href = URL.createObjectURL(Bundle.zip(Bundle.files(values(), data), data.folder))
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), 60000)
  })

  refresh()
}
