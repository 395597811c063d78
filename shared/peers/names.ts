const nameMax = 64;

/** The nearest name of ours: letters, digits, dot, underscore and dash. */
export function nameFrom(text: string, preset = 'unnamed'): string {
  const name = text
    .normalize('NFKD')
    .replaceAll(/[^a-zA-Z0-9._-]+/g, '-')
    .replace(/^[^a-zA-Z0-9]+/, '')
    .slice(0, nameMax)
    .replace(/-+$/, '');
  return name || preset;
}

/** The same, with a number behind it where it is taken. */
export function freeName(text: string, isTaken: (name: string) => boolean, preset?: string): string {
  const name = nameFrom(text, preset);
  if (!isTaken(name)) return name;
  for (let number = 2; ; number++) {
    const numbered = `${name.slice(0, nameMax - 8)}-${number}`;
    if (!isTaken(numbered)) return numbered;
  }
}
