// Times in the viewer's zone, "/" to search, and parts that are live while something runs. Everything works without it.
(() => {
  const local = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (Number.isNaN(at.getTime()) || time.title) continue;
      time.title = time.dateTime;
      const today = at.toDateString() === new Date().toDateString();
      const clock = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
      time.textContent = today ? `today ${clock}` : `${at.toLocaleDateString()} ${clock}`;
    }
  };
  const live = (part) => {
    const ask = async () => {
      if (document.hidden) return setTimeout(ask, 2000);
      try {
        const answer = await fetch(part.dataset.live, { headers: { "X-Part": "1" } });
        if (!answer.ok || answer.redirected) return;
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = page.getElementById(part.id);
        if (!fresh) return location.reload();
        part.replaceChildren(...fresh.childNodes);
        local(part);
      } catch { /* The daemon is away: ask again. */ }
      setTimeout(ask, 2000);
    };
    setTimeout(ask, 2000);
  };
  document.addEventListener("keydown", (event) => {
    const search = document.querySelector("[data-search]");
    if (event.key !== "/" || !search || /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)) return;
    event.preventDefault();
    search.focus();
  });
  for (const form of document.querySelectorAll("form[data-ask]")) {
    form.addEventListener("submit", (event) => {
      if (!confirm(form.dataset.ask)) event.preventDefault();
    });
  }
  // A file fills a list that can be pasted too.
  for (const list of document.querySelectorAll("textarea[data-file]")) {
    const file = Object.assign(document.createElement("input"), { type: "file", accept: ".csv,.txt,text/*", ariaLabel: "A file with the list" });
    file.addEventListener("change", async () => { if (file.files[0]) list.value = await file.files[0].text(); });
    list.after(file);
  }
  local(document);
  document.querySelectorAll("[data-live]").forEach(live);
})();
