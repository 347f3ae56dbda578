/** HTML and SVG text by hand: escaping and number formats shared by every part of the report. */

export function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

export const three = (x: number): string => x.toFixed(3);
export const percent = (x: number): string => `${(100 * x).toFixed(1)} %`;

/** `text` cut to `length` characters at a word, with an ellipsis. */
export function shorten(text: string, length: number): string {
  if (text.length <= length) return text;
  const cut = text.slice(0, length - 1);
  const space = cut.lastIndexOf(' ');
  return `${space > length / 2 ? cut.slice(0, space) : cut}\u2026`;
}

/** Words of `text` on at most `lines` lines of `width` characters; the last one is shortened. */
export function wrap(text: string, width: number, lines: number): string[] {
  const out: string[] = [];
  let rest = text.trim();
  while (rest !== '' && out.length < lines) {
    if (out.length === lines - 1 || rest.length <= width) {
      out.push(shorten(rest, width));
      break;
    }
    const space = rest.lastIndexOf(' ', width);
    const end = space > 0 ? space : width;
    out.push(rest.slice(0, end));
    rest = rest.slice(end).trim();
  }
  return out;
}
