// `promot train --profile`: where the time of a few steps of each stage goes.
import type { Observer } from '@promot/core/base';
import { title } from './observe.js';
import type { Progress } from './progress.js';

/** The first step warms up: kernels are chosen and memory is taken. */
const warmUp = 1;
const profiledSteps = 3;

/** Passes events on; prints a profile of three steps of each stage, or of those that there are. */
export async function profiled(observe: Observer, progress: Progress): Promise<Observer> {
  const { formatProfile, startProfile } = await import('@promot/torch');
  let stage = '';
  let seen = 0;
  let stop: ReturnType<typeof startProfile> | undefined;
  const print = (steps: number) => {
    if (stop === undefined) return;
    const found = stop();
    stop = undefined;
    progress.line(`Profile of ${steps} steps of stage ${stage} (seconds of all its operators, forward and backward):`);
    progress.line(formatProfile(found, 15));
  };
  return (event) => {
    observe(event);
    if (event.type === 'step') {
      if (title(event) !== stage) {
        print(seen - warmUp);
        stage = title(event);
        seen = 0;
      }
      seen++;
      if (seen === warmUp + profiledSteps || event.step === event.steps) print(seen - warmUp);
      if (seen === warmUp && event.step < event.steps) stop = startProfile();
    }
  };
}
