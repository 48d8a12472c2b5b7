// "Did you mean ...": the known names nearest to one that a person typed.

/** Edit distance of two names (insertions, deletions, substitutions), case ignored and `_` read as `-`. */
function distance(a: string, b: string): number {
  const [s, t] = [a, b].map((name) => name.toLowerCase().replaceAll('_', '-')) as [string, string];
  let row = Array.from({ length: t.length + 1 }, (_, j) => j);
  for (let i = 1; i <= s.length; i++) {
    const next = [i];
    for (let j = 1; j <= t.length; j++) {
      next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (s[i - 1] === t[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[t.length]!;
}

/** The known names nearest to `name`, best first, at most `count`; names that differ in more than half are left out. */
export function nearestNames(name: string, known: Iterable<string>, count = 3): string[] {
  return [...known]
    .map((candidate) => ({ candidate, distance: distance(name, candidate) }))
    .filter(({ candidate, distance }) => distance <= Math.max(name.length, candidate.length) / 2)
    .sort((a, b) => a.distance - b.distance)
    .slice(0, count)
    .map(({ candidate }) => candidate);
}

/** A tail for messages: ` (did you mean "x"?)`, or the empty string where nothing is near. */
export function didYouMean(name: string, known: Iterable<string>): string {
  const nearest = nearestNames(name, known, 1)[0];
  return nearest === undefined ? '' : ` (did you mean "${nearest}"?)`;
}
