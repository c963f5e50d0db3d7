// The keys of the page, in one place: the help dialog lists what is defined here.
export interface KeyHelp {
  keys: string[];
  does: string;
}

export const everywhere: KeyHelp[] = [
  { keys: ["/"], does: "search" },
  { keys: ["r"], does: "a random unit" },
  { keys: ["u"], does: "back to the list" },
  { keys: ["t"], does: "theme: system, dark, light" },
  { keys: ["?"], does: "this help" },
];

export const inList: KeyHelp[] = [
  { keys: ["j", "↓"], does: "next row" },
  { keys: ["k", "↑"], does: "previous row" },
  { keys: ["Enter"], does: "open the row" },
  { keys: ["n", "→"], does: "next page" },
  { keys: ["p", "←"], does: "previous page" },
];

export const onUnit: KeyHelp[] = [
  { keys: ["j", "→"], does: "next unit (of the list you came from)" },
  { keys: ["k", "←"], does: "previous unit" },
  { keys: ["f"], does: "excerpts: one line or full text" },
  { keys: ["Tab"], does: "to the next excerpt; there ← and → walk its tokens, Enter opens it" },
];

/** Whether a key press belongs to a field or a shortcut of the browser, and not to the page. */
export function isTyping(event: KeyboardEvent): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return true;
  const target = event.target;
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName))
  );
}
