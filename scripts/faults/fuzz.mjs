// Random damage to every kind of file that promot reads, by seed: bytes, JSON values, headers.
import { campaign } from './lib/campaign.mjs';
import { changedBytes, changedHeader, changedJson } from './lib/mutate.mjs';
import { random } from './lib/random.mjs';

export function run({ seed, ...options }) {
  return campaign({ title: `fuzz, seed ${seed}`, ...options }, function* (entries) {
    for (let number = 0; ; number++) {
      const draw = random(`${seed}-${number}`);
      const entry = entries[number % entries.length];
      const [file, sound] = draw.of([...entry.sound]);
      yield { entry, file, bytes: damaged(file, sound, draw), what: `seed ${seed}, case ${number}` };
    }
  });
}

function damaged(file, sound, draw) {
  if (draw.below(3) === 0) return changedBytes(sound, draw);
  try {
    if (file.endsWith('.json')) return Buffer.from(changedJson(sound.toString(), draw));
    if (file.endsWith('.safetensors')) return changedHeader(sound, draw);
    if (file.endsWith('.jsonl')) {
      const lines = sound.toString().trimEnd().split('\n');
      const at = draw.below(lines.length);
      lines[at] = changedJson(lines[at], draw);
      return Buffer.from(`${lines.join('\n')}\n`);
    }
  } catch {
    // Not JSON after all.
  }
  return changedBytes(sound, draw);
}
