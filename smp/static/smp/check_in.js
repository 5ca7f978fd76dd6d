// 会場受付 on a phone (TKT-4). Every scan is kept in localStorage until the server has answered it, so that neither a lost
// network nor a reload loses one; each has an id of its own, so that sending it again does nothing. While there is no
// network, scans are judged by a list of hashed codes. Without this script the page's forms do the same, one by one.
(() => {
  "use strict";
  const root = document.getElementById("check-in");
  if (!root) return;
  const texts = root.dataset;
  const form = root.querySelector(".scan-form");
  const input = form.elements.text;
  const outcome = root.querySelector(".outcome");
  const unsent = root.querySelector(".unsent");
  const messages = Object.fromEntries([...root.querySelector("template[data-results]").content.querySelectorAll("[data-result]")].map((one) => [one.dataset.result, one.textContent]));

  // ---- What is kept. Several tabs share it: it is read anew before each change.
  const KEY = `smp-check-in-${texts.campaign}`;
  let memory = []; // where localStorage is switched off
  function kept() {
    try {
      const found = JSON.parse(localStorage.getItem(KEY) || "[]");
      return Array.isArray(found) ? found : [];
    } catch {
      return memory;
    }
  }
  function keep(scans) {
    memory = scans;
    try {
      localStorage.setItem(KEY, JSON.stringify(scans));
    } catch {
      // private windows: `memory` holds them as long as the page is open
    }
    unsent.hidden = scans.length === 0;
    unsent.querySelector("[data-count]").textContent = scans.length;
  }

  function newId() {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6] & 15) | 64;
    bytes[8] = (bytes[8] & 63) | 128;
    return [...bytes].map((byte, at) => ([4, 6, 8, 10].includes(at) ? "-" : "") + byte.toString(16).padStart(2, "0")).join("");
  }

  // ---- Sending
  const BATCH = 50; // the server takes 100
  const PATIENCE = 8000;
  let newest = "";
  let sending = null;

  async function submit(text) {
    const scan = { scan: newId(), text: text.slice(0, 100), at: new Date().toISOString(), session: texts.session || null };
    newest = scan.scan;
    keep([...kept(), scan]);
    // On a slow network the list answers first; the server's word replaces it.
    const slow = setTimeout(() => judge(scan), 2500);
    await send();
    if (kept().some((one) => one.scan === scan.scan)) await send(); // a round that ran already ended without it
    clearTimeout(slow);
    if (kept().some((one) => one.scan === scan.scan)) await judge(scan);
  }

  function send() {
    sending ||= sendAll().finally(() => (sending = null));
    return sending;
  }
  async function sendAll() {
    while (kept().length > 0) {
      const answer = await post(texts.scans, JSON.stringify({ scans: kept().slice(0, BATCH) }), { "Content-Type": "application/json" });
      if (!answer || answer.results.length === 0) return;
      const answered = new Set(answer.results.map((one) => one.scan));
      keep(kept().filter((one) => !answered.has(one.scan)));
      for (const one of answer.results) {
        if (one.scan === newest) show(one);
      }
      document.body.dispatchEvent(new Event("checked-in"));
    }
  }

  // The server's JSON, or null when it cannot be had now.
  async function post(url, body, headers) {
    const token = document.cookie.match(/(?:^|; )csrftoken=([^;]+)/); // of the newest login, not of this page
    try {
      const response = await fetch(url, {
        method: "POST", body, credentials: "same-origin", redirect: "manual", signal: AbortSignal.timeout(PATIENCE),
        headers: { ...headers, "X-CSRFToken": token ? token[1] : form.elements.csrfmiddlewaretoken.value },
      });
      if (response.type === "opaqueredirect" || response.status === 403) {
        say(texts.loggedOut);
        return null;
      }
      return response.ok ? await response.json() : null;
    } catch {
      return null;
    }
  }

  // ---- Judging without the network: campaigns/door_codes.py, campaigns/ticket_code.py
  const ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ";
  let door = null;

  async function loadCodes() {
    try {
      const response = await fetch(texts.codes, { credentials: "same-origin", redirect: "manual", signal: AbortSignal.timeout(30000) });
      if (response.ok) door = await response.json();
    } catch {
      // the list of a moment ago still serves
    }
  }

  function cleanCode(text) {
    const code = text.normalize("NFKC").replace(/[-‐‑‒–—―−ー\s]/g, "").toUpperCase();
    if (code.length !== 8 || [...code].some((character) => !ALPHABET.includes(character))) return null;
    let total = 0;
    let factor = 2;
    for (const character of [...code.slice(0, 7)].reverse()) {
      const addend = factor * ALPHABET.indexOf(character);
      total += Math.floor(addend / 30) + (addend % 30);
      factor = 3 - factor;
    }
    return ALPHABET[(30 - (total % 30)) % 30] === code[7] ? code : null;
  }

  async function judge(scan) {
    const answer = await verdict(scan);
    if (scan.scan === newest && kept().some((one) => one.scan === scan.scan)) show(answer);
  }

  async function verdict(scan) {
    const said = (result) => ({ result, message: messages[result], detail: texts.offline });
    if (!scan.text.trim()) return said("empty");
    if (/^\s*[LＬｌl][0-9０-９]{1,18}\s*$/.test(scan.text)) return { result: "waits", message: texts.kept };
    const code = cleanCode(scan.text);
    if (!code) return said("malformed");
    if (!door || !crypto.subtle) return { result: "waits", message: texts.kept };
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(door.salt + code));
    const hash = [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("").slice(0, 16);
    const state = door.codes[hash];
    if (!state) return said("unknown");
    if (state === "n") return said("not_applied");
    const before = kept().some((one) => one.scan !== scan.scan && one.at < scan.at && one.session === scan.session && cleanCode(one.text) === code);
    return said(state === "d" || before ? "already" : "ok");
  }

  // ---- Showing
  function show(answer) {
    outcome.hidden = false;
    outcome.className = `outcome ${answer.result}`;
    outcome.querySelector("[data-message]").textContent = answer.message || "";
    outcome.querySelector("[data-name]").textContent = answer.name || "";
    outcome.querySelector("[data-company]").textContent = answer.company || "";
    outcome.querySelector("[data-detail]").textContent = [answer.detail, ...(answer.sessions || [])].filter(Boolean).join(" / ");
    beep(answer.result);
  }
  function say(message) {
    show({ result: "waits", message });
  }

  const sound = root.querySelector("[data-sound]");
  let audio = null;
  sound.closest("label").hidden = !window.AudioContext;
  function beep(result) {
    if (navigator.vibrate) navigator.vibrate(result === "ok" ? 60 : [80, 60, 80]);
    if (!sound.checked || !window.AudioContext) return;
    audio ||= new AudioContext();
    const tone = audio.createOscillator();
    tone.frequency.value = result === "ok" ? 880 : 220;
    tone.connect(audio.destination);
    tone.start();
    tone.stop(audio.currentTime + (result === "ok" ? 0.12 : 0.35));
  }

  // ---- Typing, and scanners that type
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    event.stopImmediatePropagation();
    const text = input.value;
    input.value = "";
    input.focus();
    if (text.trim()) submit(text);
    else show({ result: "empty", message: messages.empty });
  }, true);

  // ---- The camera
  const button = root.querySelector("[data-camera]");
  const box = root.querySelector(".camera");
  const video = box.querySelector("video");
  let stream = null;
  let read = { text: "", at: 0 };
  button.hidden = !navigator.mediaDevices?.getUserMedia;
  button.addEventListener("click", () => (stream ? stop() : start()));

  function stop() {
    for (const track of stream?.getTracks() || []) track.stop();
    stream = null;
    video.srcObject = null;
    box.hidden = true;
    button.setAttribute("aria-pressed", "false");
  }
  async function start() {
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" }, audio: false });
    } catch {
      say(texts.noCamera);
      return;
    }
    video.srcObject = stream;
    box.hidden = false;
    button.setAttribute("aria-pressed", "true");
    await video.play();
    look(await reader(), stream);
  }
  async function reader() {
    if ("BarcodeDetector" in window && (await BarcodeDetector.getSupportedFormats()).includes("qr_code")) {
      const detector = new BarcodeDetector({ formats: ["qr_code"] });
      return async () => (await detector.detect(video))[0]?.rawValue;
    }
    return frame;
  }
  // iPhones cannot read codes themselves: a small picture goes to the server.
  async function frame() {
    const scale = Math.min(1, 800 / Math.max(video.videoWidth, video.videoHeight));
    if (!(scale > 0)) return null;
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(video.videoWidth * scale);
    canvas.height = Math.round(video.videoHeight * scale);
    canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
    const picture = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.75));
    const body = new FormData();
    body.append("picture", picture, "frame.jpg");
    return (await post(texts.frame, body, {}))?.text;
  }
  async function look(readOnce, mine) {
    while (stream === mine) {
      let text = null;
      try {
        text = document.hidden ? null : await readOnce();
      } catch {
        // the next frame may be better
      }
      // A ticket held still is one scan.
      if (text && (text !== read.text || Date.now() - read.at > 5000)) await submit(text);
      if (text) read = { text, at: Date.now() };
      await new Promise((done) => setTimeout(done, 300));
    }
  }

  // ---- Opening the page without a network: check_in_worker.js
  const page = new URL(texts.page, location.href);
  async function remember() {
    const session = texts.session ? `&session=${texts.session}` : "";
    const parts = [...document.querySelectorAll("link[rel=stylesheet], link[rel=icon], script[src]")].map((part) => part.href || part.src);
    const worker = (await navigator.serviceWorker.ready).active;
    worker.postMessage([`${page.href}?bare=1${session}`, new URL(texts.codes, location.href).href, ...parts]);
  }
  if (navigator.serviceWorker) {
    navigator.serviceWorker.register(texts.worker).then(remember).catch(() => {
      // without it the page needs the network to open; what is kept stays kept
    });
  }

  keep(kept());
  send();
  loadCodes();
  window.addEventListener("online", () => {
    send();
    loadCodes();
  });
  setInterval(send, 5000);
  setInterval(loadCodes, 300000);
})();
