/* Page views for SMP. The server puts what it knows of the site into the last line (tracking/sites.py, script_settings).
 * Cookies: smp_v the anonymous id, smp_yes what the visitor answered where the site asks for consent. docs/operating.md. */
(function (site) {
  "use strict";
  if (window.smpTrack && window.smpTrack.running) return;
  var api = (window.smpTrack = { running: true, consent: function () {} });
  if (!site || typeof site !== "object") return;

  try {
    var ID = "smp_v", YES = "smp_yes", PASS = "smp_p", YEAR = 31536000, MOST = 4;
    var own = document.currentScript && document.currentScript.getAttribute("data-page");
    var required = site.consent || attribute("data-consent") === "required";
    var here = location.protocol + "//" + location.host;
    var said = null; // what consent() was told on this page
    var seen = ""; // the address reported last
    var started = false;
    var arrived = takeFromAddress();

    api.consent = function (yes) {
      guarded(function () {
        said = yes === true;
        if (!said) return forget();
        if (unwanted()) return;
        if (required) write(YES, "1", YEAR);
        start();
      });
    };
    guarded(function () {
      if (site.own && arrived.visitor) adopt(arrived.visitor);
      if (window.smpConsent === true) api.consent(true);
      else if (window.smpConsent === false) api.consent(false);
      else if (allowed()) start();
    });
  } catch (ignored) { /* never the page's trouble */ }

  function guarded(work) {
    try { return work(); } catch (ignored) { return undefined; }
  }

  function attribute(name) {
    return document.currentScript ? document.currentScript.getAttribute(name) : null;
  }

  // ---- may it run

  function unwanted() {
    return navigator.globalPrivacyControl === true || navigator.doNotTrack === "1" || window.doNotTrack === "1";
  }

  function allowed() {
    if (unwanted() || said === false) return false;
    return !required || said === true || read(YES) === "1";
  }

  // ---- cookies

  function read(name) {
    var found = new RegExp("(?:^|;\\s*)" + name + "=([^;]*)").exec(document.cookie);
    return found ? found[1] : "";
  }

  function wholeDomain() {
    var name = site.domain;
    var inside = location.hostname === name || location.hostname.slice(-name.length - 1) === "." + name;
    return site.subdomains && inside && name.indexOf(".") > 0 && !/^[\d.]+$|:/.test(name) ? "; domain=" + name : "";
  }

  function put(name, value, seconds, domain) {
    document.cookie = name + "=" + value + (seconds === null ? "" : "; max-age=" + seconds) + "; path=/; SameSite=Lax" +
      (location.protocol === "https:" ? "; Secure" : "") + domain;
  }

  function write(name, value, seconds) {
    put(name, value, seconds, wholeDomain());
    if (read(name) !== value) put(name, value, seconds, ""); // the browser refused the domain
  }

  function forget() {
    [ID, YES].forEach(function (name) {
      put(name, "", 0, "");
      put(name, "", 0, wholeDomain());
    });
    seen = "";
  }

  function ids() {
    return read(ID).split(".").filter(function (one) { return /^[0-9a-f]{32}$/.test(one); });
  }

  function visitor() {
    var known = ids();
    if (!known.length) known = [newId()];
    write(ID, known.slice(0, MOST).join("."), YEAR); // a year from now on
    return ids()[0] || "";
  }

  function newId() {
    var bytes = new Uint8Array(16), text = "";
    window.crypto.getRandomValues(bytes);
    bytes[6] = (bytes[6] & 15) | 64;
    bytes[8] = (bytes[8] & 63) | 128;
    for (var i = 0; i < 16; i++) text += (bytes[i] + 256).toString(16).slice(1);
    return text;
  }

  // On our own pages: the id of the site the visitor came from. Kept for this visit, longer only after a yes here.
  function adopt(id) {
    var known = ids();
    if (unwanted() || known.indexOf(id) >= 0) return;
    known.splice(known.length ? 1 : 0, 0, id);
    write(ID, known.slice(0, MOST).join("."), read(YES) === "1" ? YEAR : null);
  }

  // ---- what the address brings along is taken out of it at once: nobody copies it from there

  function takeFromAddress() {
    var found = { pass: "", visitor: "" }, kept = [];
    var parts = location.search.slice(1).split("&");
    for (var i = 0; i < parts.length; i++) {
      if (parts[i].indexOf(PASS + "=") === 0) found.pass = decodeURIComponent(parts[i].slice(PASS.length + 1));
      else if (site.own && parts[i].indexOf(ID + "=") === 0) found.visitor = fresh(parts[i].slice(ID.length + 1));
      else if (parts[i]) kept.push(parts[i]);
    }
    if (kept.length < parts.length && location.search.length > 1) {
      guarded(function () {
        history.replaceState(history.state, "", location.pathname + (kept.length ? "?" + kept.join("&") : "") + location.hash);
      });
    }
    return found;
  }

  function fresh(handed) {
    var parts = handed.split("-");
    var age = Date.now() / 1000 - parseInt(parts[1], 36);
    return /^[0-9a-f]{32}$/.test(parts[0]) && age > -300 && age < 300 ? parts[0] : "";
  }

  // ---- views

  function start() {
    if (started) return guarded(view);
    started = true;
    document.addEventListener("click", decorateLink, true);
    document.addEventListener("auxclick", decorateLink, true);
    document.addEventListener("submit", decorateForm, true);
    if (site.views === false) return undefined;
    watchHistory();
    if (document.prerendering) document.addEventListener("prerenderingchange", whenRead, { once: true });
    else whenRead();
    return undefined;
  }

  function whenRead() {
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", function () { guarded(view); });
    else guarded(view);
  }

  function watchHistory() {
    var push = history.pushState;
    history.pushState = function () {
      var answer = push.apply(history, arguments);
      setTimeout(function () { guarded(view); }, 100); // the page sets its title first
      return answer;
    };
    window.addEventListener("popstate", function () { setTimeout(function () { guarded(view); }, 100); });
    window.addEventListener("pageshow", function (event) {
      if (event.persisted) { seen = ""; guarded(view); }
    });
  }

  function view() {
    var url = own ? here + own : location.href.split("#")[0];
    if (!allowed() || url === seen) return;
    var id = visitor();
    if (!id) return; // the browser keeps no cookies
    var message = {
      k: site.key, v: id, u: url.slice(0, 2000), t: document.title.slice(0, 300),
      r: (seen || (own ? "" : document.referrer)).slice(0, 500)
    };
    if (arrived.pass) message.p = arrived.pass;
    arrived.pass = "";
    seen = url;
    send(JSON.stringify(message));
  }

  function send(text) {
    var url = (site.own ? here : site.base) + "/w/";
    if (window.fetch) {
      // text/plain: no question in advance (preflight). cors: the site's name is said whatever its Referrer-Policy.
      fetch(url, { method: "POST", body: text, mode: "cors", credentials: "omit", keepalive: true }).catch(function () {});
    } else if (navigator.sendBeacon) {
      navigator.sendBeacon(url, text);
    }
  }

  // ---- links and forms that lead to our own pages say who follows them, at that moment only

  function handed(target) {
    var id = ids()[0];
    if (site.own || !id || !allowed() || target.protocol + "//" + target.host !== site.base) return "";
    return id + "-" + Math.floor(Date.now() / 1000).toString(36);
  }

  function withId(target, value) {
    return target.href.split("#")[0] + (target.search ? "&" : "?") + ID + "=" + value + target.hash;
  }

  function decorateLink(event) {
    guarded(function () {
      var link = event.target.closest && event.target.closest("a[href]");
      var value = link && handed(link);
      if (!value) return;
      var before = link.getAttribute("href");
      link.setAttribute("href", withId(link, value));
      setTimeout(function () { link.setAttribute("href", before); }, 0);
    });
  }

  function decorateForm(event) {
    guarded(function () {
      var form = event.target;
      var target = document.createElement("a");
      target.href = form.getAttribute("action") || location.href;
      var value = handed(target);
      if (!value) return;
      if (form.method === "get") {
        var field = document.createElement("input");
        field.type = "hidden";
        field.name = ID;
        field.value = value;
        form.appendChild(field);
        setTimeout(function () { form.removeChild(field); }, 0);
      } else {
        var before = form.getAttribute("action");
        form.setAttribute("action", withId(target, value));
        setTimeout(function () { form.setAttribute("action", before); }, 0);
      }
    });
  }
})("SMP_SITE");
