// The console's common module: everything that any page may need. Pages can be read without it.
import "./forms.js";
import "./dialogs.js";
import "./copy.js";
import "./theme.js";
import "./select.js";
import "./filters.js";
import { startFeeds } from "./feed.js";
import { startTimes } from "./time.js";

startTimes();
startFeeds();
