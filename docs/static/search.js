// A page opened from a file may not read other files, so the search shows titles there and extracts on a server.
if (window.location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
