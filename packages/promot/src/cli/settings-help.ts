// The settings of `promot train` with their defaults, in groups, for its help.
import { configKeys, defaultConfig } from '@promot/core/train';

/** Which settings stand together, by the beginning of their keys; what fits none is `training`. */
const groups: readonly (readonly [title: string, keys: RegExp])[] = [
  ['the run', /^(preset|seed|device|precision|keepCheckpoints|choose)$/u],
  ['data', /^(addTokens|maxInputLength|shots|mixing|replay)\b/u],
  ['soft prompt and LoRA', /^(prompt|loraRank)/u],
  ['evaluation', /^(beams|validationLimit|keep)\b/u],
  ['the stage of the prompt', /^stage1\./u],
  ['the stage of the model', /^stage2\./u],
];

const width = 80;

/** Lines for the end of the help. */
export function settingsHelp(): string {
  const config = defaultConfig('encoder-decoder', false) as unknown as Record<string, unknown>;
  const stages = config.stages as Record<string, unknown>;
  const defaultOf = (key: string) => {
    const path = key.split('.');
    const [first] = path;
    const start: unknown = first === 'stage1' || first === 'stage2' ? { ...config, [first]: stages[first] } : config;
    return path.reduce<unknown>((value, part) => (value as Record<string, unknown> | undefined)?.[part], start);
  };
  const written = (key: string) => `${key}=${JSON.stringify(defaultOf(key))?.replaceAll('"', '') ?? ''}`;
  const titleOf = (key: string) => groups.find(([, keys]) => keys.test(key))?.[0] ?? 'training';
  const keys = configKeys().filter((key) => !key.endsWith('.lowerRate'));
  const titles = [groups[0]![0], 'training', ...groups.slice(1).map(([title]) => title)];
  const lines = titles.flatMap((title) => [
    `  ${title}:`,
    ...wrap(keys.filter((key) => titleOf(key) === title).map(written)),
  ]);
  return [
    '',
    "Settings (--set KEY=VALUE, or a --config file) and the paper's defaults for an encoder-decoder.",
    'Tasks of your own have others (preset=own); docs/reference/commands.md explains each.',
    ...lines,
  ].join('\n');
}

function wrap(words: readonly string[]): string[] {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(`    ${word}`);
  }
  return lines;
}
