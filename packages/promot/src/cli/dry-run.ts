// The dry run as text for people.
import type { DryRun, LengthStatistics, ShownExample, ShownToken } from '@promot/core/train';
import { duration, gigabytes, thousands } from './progress.js';

/** @param colours whether what is learned of conversations is coloured, or stands between marks. */
export function describeDryRun(found: DryRun, colours: boolean): string {
  const { config, cutInputs, trainExamples, inputLengths, targetLengths } = found;
  const share = ((100 * cutInputs) / trainExamples).toFixed(1);
  const stages = found.stages.flatMap(({ stage, task, steps, mayEndEarlier, trainedParameters, memory, seconds }) => [
    `Stage ${task === undefined ? stage : `${stage} ${task}`}: ` +
      `${mayEndEarlier ? 'at most ' : ''}${thousands(steps)} steps, ${thousands(trainedParameters)} trained ` +
      `parameters, about ${duration(seconds)}`,
    `  memory about ${gigabytes(memory.total)}: weights ${gigabytes(memory.weights)}, gradients ` +
      `${gigabytes(memory.gradients)}, optimizer ${gigabytes(memory.optimizer)}, activations ` +
      `${gigabytes(memory.activations)}, unused between them ${gigabytes(memory.holes)}`,
  ]);
  return [
    ...found.examples.flatMap((example, i) => describeExample(example, i, colours)),
    found.chosen,
    '',
    `${thousands(trainExamples)} training examples, ${thousands(found.validationExamples)} validation examples`,
    `Input tokens:  ${describeLengths(inputLengths)}`,
    `Target tokens: ${describeLengths(targetLengths)}`,
    config.maxInputLength > 0
      ? `Cut at ${config.maxInputLength} input tokens: ${thousands(cutInputs)} training inputs (${share} %)`
      : cutInputs > 0
        ? `Cut by the task itself: ${thousands(cutInputs)} training inputs (${share} %)`
        : 'No input is cut (maxInputLength 0)',
    '',
    `${found.kind} model, ${thousands(found.parameters)} parameters, ${config.precision} on ${found.device}; ` +
      `matrix products at ${(found.operationsPerSecond / 1e9).toFixed(0)} GFLOP/s here`,
    ...stages,
    'Evaluations at kept checkpoints come on top of these times. Nothing was trained or written.',
  ].join('\n');
}

function describeExample(example: ShownExample, index: number, colours: boolean): string[] {
  const { input, target, promptRows, inputTokens, targetTokens, cutTokens } = example;
  const rows = promptRows > 0 ? `[${promptRows} prompt rows] ` : '';
  if (example.isChat)
    return [
      `Example ${index + 1}${example.task === undefined ? '' : ` (${example.task})`}, a conversation; ` +
        `what carries loss is ${colours ? 'green' : 'between « and »'}`,
      `${rows}${conversation(example, colours)}`,
      '',
    ];
  return [
    `Example ${index + 1}${example.task === undefined ? '' : ` (${example.task})`}`,
    `  input:   ${JSON.stringify(input)}`,
    `  target:  ${JSON.stringify(target)}`,
    `  model reads: ${rows}${tokens(inputTokens)}${cutTokens > 0 ? ` (${cutTokens} tokens cut)` : ''}`,
    `  and learns:  ${tokens(targetTokens)}`,
    '',
  ];
}

const tokens = (list: readonly ShownToken[]): string => list.map(({ id, text }) => `${text}|${id}`).join(' ');

/** The text of a conversation, with its parts that carry loss marked. */
function conversation({ inputTokens, targetTokens }: ShownExample, colours: boolean): string {
  const all = [...inputTokens, ...targetTokens.map((token) => ({ ...token, learned: true }))];
  const parts: { text: string; learned: boolean }[] = [];
  for (const { text, learned = false } of all) {
    const last = parts.at(-1);
    if (last?.learned === learned) last.text += text;
    else parts.push({ text, learned });
  }
  const [open, close] = colours ? ['\u001b[32m', '\u001b[39m'] : ['«', '»'];
  return parts.map(({ text, learned }) => (learned ? `${open}${text}${close}` : text)).join('');
}

function describeLengths({ mean, median, p95, longest }: LengthStatistics): string {
  return `mean ${mean.toFixed(1)}, median ${median}, 95 % up to ${p95}, longest ${longest}`;
}
