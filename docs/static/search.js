// A page opened from a file may not read other files, so the search shows titles there and extracts on a server.
if (window.location.protocol === "file:" && window.DOCUMENTATION_OPTIONS) window.DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
