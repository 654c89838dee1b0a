/* The theme puts each block's copy button into a landmark of its own. A page has dozens, all of
   one name: to somebody who moves by landmarks they are noise. */
const quieten = () => {
  for (const nav of document.querySelectorAll("nav.md-code__nav:not([role])"))
    nav.setAttribute("role", "none")
}
new MutationObserver(quieten).observe(document.body, { childList: true, subtree: true })
quieten()
