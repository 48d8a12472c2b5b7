// The same damage to every kind of file each time: cut, lengthened, shifted, zeroed, another file, every key of another
// type.
import { campaign } from './lib/campaign.mjs';
import { systematicDamage, systematicJson } from './lib/mutate.mjs';
import { random } from './lib/random.mjs';

export function run({ seed, ...options }) {
  return campaign({ title: 'damage', ...options }, function* (entries) {
    const cases = entries.flatMap((entry) =>
      [...entry.sound].flatMap(([file, sound]) => {
        const all = [...systematicDamage(sound)];
        if (file.endsWith('.json') && sound.length < 200_000)
          for (const [what, text] of systematicJson(sound.toString())) all.push([what, Buffer.from(text)]);
        return all.map(([what, bytes]) => ({ entry, file, bytes, what }));
      }),
    );
    // In an order that the seed decides: a short campaign sees something of everything.
    const draw = random(String(seed));
    for (let i = cases.length - 1; i > 0; i--) {
      const j = draw.below(i + 1);
      [cases[i], cases[j]] = [cases[j], cases[i]];
    }
    yield* cases;
  });
}
