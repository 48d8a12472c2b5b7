// Draws what happens: the one observer of all commands, on the progress bar and the lines above it.
import type { Observer, WorkEvent } from '@promot/core/base';
import { duration, type Progress, thousands } from './progress.js';

/** A stage as people call it. */
export function title({ stage, task }: { readonly stage?: string; readonly task?: string }): string {
  return [stage, task].filter((word) => word !== undefined).join(' ');
}

/** Draws events. While an experiment is at a job, its name stands first, and of training only the progress is shown. */
export function observer(progress: Progress): Observer {
  let job = '';
  /** Jobs on the same data and model say the same. */
  const said = new Set<string>();
  return (event) => {
    switch (event.type) {
      case 'job':
        job = `[${event.number}/${event.of}] ${event.name}`;
        break;
      case 'job-done': {
        progress.stop();
        const { jobs, seconds } = event.left;
        const rest = jobs === 0 ? '' : `; ${jobs} ${jobs === 1 ? 'job' : 'jobs'} left, about ${duration(seconds)}`;
        progress.line(`Done: ${event.name} in ${duration(event.seconds)}${rest}`);
        job = '';
        break;
      }
      default:
        if (job === '') show(event, progress);
        else if (event.type === 'note') {
          if (!said.has(event.text)) progress.line(`note: ${event.text}`);
          said.add(event.text);
        } else showInJob(event, job, progress);
    }
  };
}

function showInJob(event: WorkEvent, job: string, progress: Progress): void {
  switch (event.type) {
    case 'step':
      progress.update(`${job} stage ${event.stage}`, event.step, event.steps, `loss ${event.loss.toFixed(3)}`);
      break;
    case 'evaluating': {
      const place = event.stage === undefined ? '' : ` stage ${event.stage} step ${event.step}, evaluating`;
      progress.update(`${job}${place}`, event.done, event.total, event.of ?? '');
      break;
    }
    case 'progress':
      progress.update(job, event.done, event.total, event.what);
      break;
    case 'phase':
      progress.line(event.text);
      break;
  }
}

function show(event: WorkEvent, progress: Progress): void {
  switch (event.type) {
    case 'start':
      progress.line(`${event.trainExamples} training examples, ${event.validationExamples} validation examples`);
      progress.line(event.chosen);
      break;
    case 'stage':
      progress.line(
        `Stage ${title(event)}: ${thousands(event.trainedParameters)} parameters, ${event.steps} steps${
          event.step > 0 ? `, goes on after step ${event.step}` : ''
        }`,
      );
      break;
    case 'step': {
      const rate = event.step / event.elapsed;
      const speed = rate >= 1 ? `${rate.toFixed(1)} steps/s` : `${(1 / rate).toFixed(1)} s/step`;
      const details = `loss ${event.loss.toFixed(4)}  ${speed}  ${event.tokensPerSecond.toFixed(0)} tokens/s`;
      progress.update(title(event), event.step, event.steps, details, event.remaining);
      break;
    }
    case 'evaluating':
      if (event.stage === undefined) progress.update(event.of ?? 'evaluating', event.done, event.total);
      else progress.waiting(title(event), `evaluating${event.of ? ` ${event.of}` : ''}`, event.done, event.total);
      break;
    case 'evaluation':
      progress.line(
        `${title(event)} step ${event.step}: ${event.metric} ${event.score.toFixed(2)}, evaluation loss ` +
          `${event.evalLoss.toFixed(4)}`,
      );
      break;
    case 'keep': {
      const scores = event.keep.map(({ task, score, nll }) => `${task} ${score.toFixed(2)} (nll ${nll.toFixed(3)})`);
      progress.line(
        `${title(event)} step ${event.step}: keep list ${event.keepAverage.toFixed(2)}: ${scores.join(', ')}`,
      );
      break;
    }
    case 'best':
      progress.stop();
      progress.line(
        `Stage ${title(event)}: best checkpoint at step ${event.step} (${event.score.toFixed(2)}` +
          `${event.lost === undefined ? '' : `; ${event.lost.toFixed(2)} points of the keep list lost`})`,
      );
      break;
    case 'reused':
      progress.line(
        event.there === event.total
          ? `note: ${event.of}: nothing to compute, all ${event.total} answers are in ${event.folder}`
          : `note: ${event.of}: goes on, ${event.there} of ${event.total} answers are in ${event.folder}`,
      );
      break;
    case 'download': {
      const megabytes = (bytes: number) => Math.ceil(bytes / 1e6);
      const { file, received, total } = event;
      progress.update(`download ${file} (MB)`, megabytes(received), megabytes(total ?? received));
      if (received === total) progress.stop();
      break;
    }
    case 'progress':
      progress.update(event.what, event.done, event.total, event.details);
      break;
    case 'note':
      progress.line(`note: ${event.text}`);
      break;
    case 'phase':
      progress.line(event.text);
      break;
  }
}
