/* The question of our own pages for attendees (templates/tracking/own_pages.html). A no is remembered half a year (smp_no). */
(() => {
  "use strict";
  const notice = document.querySelector("[data-consent-notice]");
  const answered = /(?:^|;\s*)smp_(?:yes|no)=1/.test(document.cookie);
  const unwanted = navigator.globalPrivacyControl === true || navigator.doNotTrack === "1";
  if (!notice || answered || unwanted) return;
  notice.hidden = false;
  notice.addEventListener("click", (event) => {
    const button = event.target.closest("[data-consent]");
    if (!button) return;
    const yes = button.dataset.consent === "yes";
    const secure = location.protocol === "https:" ? "; Secure" : "";
    if (!yes) document.cookie = `smp_no=1; max-age=15552000; path=/; SameSite=Lax${secure}`;
    if (window.smpTrack) window.smpTrack.consent(yes);
    else window.smpConsent = yes; // the script has not come yet; it looks here
    notice.remove();
  });
})();
