// Stop strings: generation ends when its text contains one of them, and the text is cut before it.

export interface StopStrings {
  readonly strings: readonly string[];
  /** The text of generated ids, as the tokenizer's `decode` gives it. */
  readonly decode: (ids: readonly number[]) => string;
}

/** Whether the text of the newest tokens contains a stop string; to be asked after every token. */
export function endsWithStop({ strings, decode }: StopStrings): (ids: readonly number[]) => boolean {
  // A token is a byte at least, so a string that just became complete lies in the last tokens. Some more, because the
  // first token of a text may lose its space, and special tokens give no text.
  const window = Math.max(0, ...strings.map((s) => Buffer.byteLength(s))) + 8;
  return (ids) => {
    const tail = decode(ids.slice(-window));
    return strings.some((s) => tail.includes(s));
  };
}

/** The text before the first stop string; all of it where there is none. */
export function cutAtStop(text: string, strings: readonly string[]): string {
  const places = strings.map((s) => text.indexOf(s)).filter((place) => place >= 0);
  return places.length ? text.slice(0, Math.min(...places)) : text;
}
