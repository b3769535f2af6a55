// What lies under the pointer, or under the cursor of the keyboard, lights up wherever it came from and went to. The
// classes L… (a template line) and F… (a field) are shared by all that belongs together; a style sheet lights them.
(() => {
  const lit = document.head.appendChild(document.createElement("style"));
  const names = (element) => [...(element?.classList ?? [])].filter((name) => /^[LF]\d+$/.test(name));
  const point = (element) => {
    while (element && !names(element).length && !element.dataset?.o) element = element.parentElement;
    const own = element?.closest?.(".view");
    const rules = names(element).flatMap((name) => [`.cm-content .${name}`, ...(own ? [] : [`.view .${name}`])]);
    const style = "{ background: var(--lit) !important; color: var(--lit-text) !important; }";
    lit.textContent = rules.length ? `${rules.join(",")} ${style} ${rules.map((r) => `${r} *`)} { color: inherit !important; }` : "";
    const bar = document.getElementById("origin");
    if (bar) bar.textContent = element?.dataset?.o ?? "";
  };
  document.addEventListener("pointerover", (event) => point(event.target));
  document.addEventListener("click", (event) => {
    const found = event.target.closest?.(".cm-line") && names(event.target.closest("[class*=' F'], [class^='F'], .cm-line"))[0];
    if (found) document.querySelector(`.view .${found}`)?.scrollIntoView({ block: "nearest" });
  });
  document.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    if (event.target.role === "tab") {
      const tabs = [...event.target.parentElement.children];
      const next = tabs[(tabs.indexOf(event.target) + step + tabs.length) % tabs.length];
      next.focus();
      next.click();
    } else if (event.target.classList?.contains("text")) {
      const pieces = [...event.target.querySelectorAll("[data-o]")];
      const now = pieces.findIndex((piece) => piece.classList.contains("cursor"));
      const next = pieces[Math.min(Math.max(now + step, 0), pieces.length - 1)];
      pieces[now]?.classList.remove("cursor");
      next?.classList.add("cursor");
      next?.scrollIntoView({ block: "nearest" });
      point(next);
      event.preventDefault();
    }
  });
  const media = matchMedia("(prefers-color-scheme: dark)");
  const theme = () => {
    const chosen = localStorage.getItem("chattmpl-theme");
    if (chosen) document.documentElement.dataset.theme = chosen;
    else delete document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : media.matches;
  };
  window.playground = {
    dark: theme,
    turn() {
      const next = theme() ? "light" : "dark";
      if ((next === "dark") === media.matches) localStorage.removeItem("chattmpl-theme");
      else localStorage.setItem("chattmpl-theme", next);
      emitEvent("scheme", theme());
    },
    address(fragment) {
      window.playground.own = "#" + fragment;
      history.replaceState(null, "", "#" + fragment);
    },
    label(id, text) {
      const content = document.querySelector(`#${id} .cm-content`);
      content?.setAttribute("aria-label", text);
      content?.setAttribute("tabindex", "0");
    },
  };
  theme();
  media.addEventListener("change", () => emitEvent("scheme", theme()));
  addEventListener("hashchange", () => location.hash === window.playground.own || emitEvent("address", location.hash));
})();
