import { mount } from "svelte";
import { openSource } from "./api/source";
import App from "./App.svelte";
import { applyTheme, storedTheme } from "./state/theme";
import "./styles/fonts.css";
import "./styles/theme.css";
import "./styles/heat.css";
import "./styles/base.css";

applyTheme(storedTheme());
const target = document.getElementById("page");
if (target !== null) mount(App, { target, props: { source: openSource(document.documentElement) } });
