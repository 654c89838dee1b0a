const improve = () => {
  /* The theme puts each block's copy button into a landmark of its own. A page has dozens, all of
     one name: to somebody who moves by landmarks they are noise. */
  for (const nav of document.querySelectorAll("nav.md-code__nav:not([role])"))
    nav.setAttribute("role", "none")
  /* On a phone a wide table scrolls, and has to do so by keyboard, too. */
  for (const wrap of document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])"))
    wrap.setAttribute("tabindex", "0")
}
new MutationObserver(improve).observe(document.body, { childList: true, subtree: true })
improve()
