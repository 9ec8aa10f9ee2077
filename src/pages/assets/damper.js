// What makes pages live: fresh figures, times in the viewer's zone, the crosshair and the brush. Every page works without.
"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (selector, root = document) => root.querySelector(selector);

  // Times: UTC is in the markup and stays in the title.
  const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
  const localize = (root) => {
    for (const time of all("time[datetime]", root)) {
      time.title = time.dateTime.replace("T", " ").replace("Z", " UTC");
      time.textContent = day.format(new Date(time.dateTime));
    }
    for (const text of all("text[data-clock]", root)) {
      const at = new Date(Number(text.dataset.clock));
      if (/:/.test(text.textContent)) text.textContent = clock.format(at);
    }
  };
  const span = (ms) => {
    const s = Math.max(0, Math.round(ms / 1000));
    const two = (a, u, b, v) => (b ? `${a} ${u} ${b} ${v}` : `${a} ${u}`);
    if (s < 60) return `${s} s`;
    if (s < 3600) return two(Math.floor(s / 60), "min", s % 60, "s");
    if (s < 86400) return two(Math.floor(s / 3600), "h", Math.floor(s / 60) % 60, "min");
    return two(Math.floor(s / 86400), "d", Math.floor(s / 3600) % 24, "h");
  };
  setInterval(() => {
    for (const it of all("[data-until]")) it.textContent = span(Number(it.dataset.until) - Date.now());
  }, 1000);

  // A part of the page is exchanged for its fresh self; not while someone is at work in it.
  const busy = (part) => {
    if (part.hasAttribute("data-keep") && all("input", part).some((it) => it.checked !== it.defaultChecked || it.value !== it.defaultValue)) return true;
    return part.contains(document.activeElement) && document.activeElement !== document.body && part.matches("[data-keep], .panel");
  };
  const exchange = (fresh, ids) => {
    for (const id of ids) {
      const [old, now] = [document.getElementById(id), fresh.getElementById(id)];
      if (!old || !now || busy(old)) continue;
      localize(now);
      if (old.innerHTML === now.innerHTML) continue;
      const open = all("details", old).map((it) => it.open);
      const focus = document.activeElement && old.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
      old.replaceChildren(...now.childNodes);
      all("details", old).forEach((it, i) => { it.open = Boolean(open[i]); });
      if (focus) { const again = all("a[href]", old).find((it) => it.getAttribute("href") === focus); if (again) again.focus(); }
      if (old.matches("[data-chart]")) brush(old);
      old.classList.remove("fresh");
      void old.offsetWidth;
      old.classList.add("fresh");
    }
  };
  let leaving = false, selecting = false, asking = null;
  const fetched = async (address) => {
    if (asking) asking.abort();
    const mine = asking = new AbortController();
    const answer = await fetch(address, { headers: { accept: "text/html" }, signal: mine.signal, redirect: "error" });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    return { fresh, ok: answer.ok, status: answer.status };
  };
  const refresh = async (kinds) => {
    if (leaving || dragging || selecting) return;
    try {
      // A preview reads every rating of a post: what is selected is not looked at again by itself.
      const address = new URL(location.href), selected = address.searchParams.has("from");
      if (selected) for (const name of ["from", "to", "score"]) address.searchParams.delete(name);
      const { fresh, ok, status } = await fetched(address);
      if (leaving) return;
      if (status === 401 || one("[data-retry]")) { if (ok || status === 401) location.reload(); return; }
      if (!ok) return;
      const parts = all("[data-on]").filter((it) => kinds.some((kind) => it.dataset.on.includes(kind)));
      exchange(fresh, ["away", ...parts.map((it) => it.id).filter((id) => !selected || id !== "chart")]);
    } catch (error) { if (error.name !== "AbortError") lost(true); }
  };
  const lost = (is) => { const banner = document.getElementById("lost"); if (banner) banner.hidden = !is; };

  const live = () => {
    const source = new EventSource(document.body.dataset.live);
    let last = null;
    source.addEventListener("pulse", (event) => {
      lost(false);
      const seen = JSON.parse(event.data);
      const kinds = last ? ["waiting", "merged", "away"].filter((kind) => seen[kind] !== last[kind]) : [];
      last = seen;
      if (kinds.includes("away")) kinds.push("waiting", "merged");
      if (kinds.length) refresh(kinds);
    });
    source.addEventListener("error", () => {
      lost(!leaving);
      if (source.readyState === EventSource.CLOSED && !leaving) { last = null; setTimeout(live, 3000); }
    });
    addEventListener("pagehide", () => { leaving = true; source.close(); });
  };

  // The chart: a crosshair that names the values of the table, and a brush that fills in the form.
  let dragging = false;
  const field = (ms) => new Date(ms).toISOString().slice(0, 19);
  function brush(figure) {
    const rows = all("#series tbody tr", figure);
    const end = (row) => Date.parse(one("time", row).dateTime);
    const readout = one("#readout", figure);
    const rest = readout && readout.innerHTML;
    for (const svg of all("svg.chart", figure)) {
      const hit = one(".hit", svg), cross = one(".cross", svg), box = svg.viewBox.baseVal;
      const [x0, x1, t0, t1] = ["x0", "x1", "from", "to"].map((name) => Number(svg.dataset[name]));
      const top = Number(hit.getAttribute("y")), foot = top + Number(hit.getAttribute("height"));
      const place = (event) => {
        const rect = svg.getBoundingClientRect();
        return Math.min(x1, Math.max(x0, (event.clientX - rect.left) * box.width / rect.width));
      };
      const moment = (x) => t0 + (x - x0) * (t1 - t0) / (x1 - x0);
      const point = (event) => {
        const x = place(event), t = moment(x);
        cross.setAttribute("d", `M${x} ${top}V${foot}`);
        const row = rows.find((it) => end(it) >= t) || rows[rows.length - 1];
        if (!row) return;
        const [published, raw, arrivals] = all("td", row).slice(1, 4).map((it) => it.textContent);
        readout.textContent = `${day.format(new Date(t))}: published ${published}, raw ${raw}, ${arrivals} arrivals`;
      };
      let start = null, drawn = null;
      hit.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        dragging = true;
        start = place(event);
        hit.setPointerCapture(event.pointerId);
        for (const old of all("rect.selection", svg)) old.remove();
        drawn = document.createElementNS("http://www.w3.org/2000/svg", "rect");
        drawn.setAttribute("class", "selection");
        svg.insertBefore(drawn, cross);
      });
      hit.addEventListener("pointermove", (event) => {
        point(event);
        if (start === null) return;
        const x = place(event), from = Math.min(x, start);
        const sizes = { x: from, y: top, width: Math.abs(x - start), height: foot - top };
        for (const [name, value] of Object.entries(sizes)) drawn.setAttribute(name, value);
      });
      hit.addEventListener("pointerup", (event) => {
        if (start === null) return;
        const ends = [start, place(event)].sort((a, b) => a - b);
        [start, dragging] = [null, false];
        if (ends[1] - ends[0] < 3) { drawn.remove(); return; }
        const form = document.getElementById("window");
        form.elements.from.value = field(moment(ends[0]));
        form.elements.to.value = field(moment(ends[1]));
        form.requestSubmit();
      });
      hit.addEventListener("pointercancel", () => { [start, dragging] = [null, false]; if (drawn) drawn.remove(); });
      hit.addEventListener("pointerleave", () => { if (start === null) { cross.setAttribute("d", ""); readout.innerHTML = rest; } });
    }
  }

  // The preview, without leaving the page.
  const select = async (address) => {
    selecting = true;
    try {
      const { fresh, ok } = await fetched(address);
      if (!ok) { location.assign(address); return; }
      history.replaceState(null, "", address);
      const panel = document.getElementById("selection");
      if (panel.contains(document.activeElement)) document.activeElement.blur();
      exchange(fresh, ["chart", "selection", "away"]);
      const reason = one("#selection form[method=post] input[name=reason]");
      if (reason && matchMedia("(hover: hover)").matches) reason.focus({ preventScroll: true });
    } catch (error) { if (error.name !== "AbortError") location.assign(address); } finally { selecting = false; }
  };
  addEventListener("submit", (event) => {
    const form = event.target, button = event.submitter;
    if (button && button.dataset.confirm && !confirm(button.dataset.confirm)) { event.preventDefault(); return; }
    if (form.id !== "window") { leaving = form.method === "post"; return; }
    event.preventDefault();
    const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
    select(`${form.action.split("?")[0]}?${query}`);
  });
  addEventListener("click", (event) => {
    const link = event.target.closest("a[data-select]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    select(link.href.split("#")[0]);
  });
  addEventListener("change", (event) => {
    const name = event.target.dataset.all;
    if (name) for (const box of all(`input[name=${name}]`, event.target.form)) box.checked = event.target.checked;
  });

  localize(document);
  all("[data-chart]").forEach(brush);
  if (document.body.dataset.live) live();
})();
