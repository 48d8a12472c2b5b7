// The quickstart in a sentence or two, made from its numbers.
import type { ComparedModel, QuickstartResult } from './result.js';

/** Tasks that the pretrained model does worse than this are not called forgotten: there was little to forget. */
const leastKnown = 20;

/** What a model lost of a task: percent of the pretrained model's score, at least 0. */
const lost = (before: number, after: number) => Math.max(0, 100 - (100 * after) / before);

/**
 * What the two ways of training cost, on the task that suffered most, and what they gained. Says so plainly where
 * nothing was lost or where the two models are not equally good on the target (5 points apart or more).
 *
 * @example
 * headline(result);
 * // 'Fine-tuning forgot 88 % of "Enlan to Rolan" (100 → 12), ProMoT nothing (100 → 100). Both
 * learned "Enlan to Frelan": 100 and 100 of 100.'
 */
export function headline({ contenders }: Pick<QuickstartResult, 'contenders'>): string {
  const [before, plain, promot] = contenders as readonly [ComparedModel, ComparedModel, ComparedModel];
  const known = before.others.flatMap(({ title, score }, i) => (score >= leastKnown ? [{ title, score, i }] : []));
  const scores = `${plain.target.score.toFixed(0)} and ${promot.target.score.toFixed(0)} of 100`;
  const apart = Math.abs(plain.target.score - promot.target.score);
  const learned = `"${before.target.title}"`;
  const gained =
    apart < 5
      ? `Both learned ${learned}: ${scores}.`
      : `On ${learned} they are not equal: ${scores}, so the comparison is not fair.`;
  const losses = known.map(({ title, score, i }) => {
    const [byPlain, byPromot] = [plain, promot].map(({ others }) => others[i]!.score) as [number, number];
    return { title, score, byPlain, byPromot, most: Math.max(lost(score, byPlain), lost(score, byPromot)) };
  });
  const worst = losses.sort((a, b) => b.most - a.most)[0];
  if (!worst || worst.most < 1) return `Neither model forgot anything that this page measures. ${gained}`;
  const { title, score, byPlain, byPromot } = worst;
  const share = (after: number) => {
    const percent = lost(score, after).toFixed(0);
    return percent === '0' ? 'nothing' : `${percent} %`;
  };
  // No line ends beside the arrow.
  const change = (after: number) => `(${score.toFixed(0)}\u00a0→\u00a0${after.toFixed(0)})`;
  return (
    `Fine-tuning forgot ${share(byPlain)} of "${title}" ${change(byPlain)}, ProMoT ${share(byPromot)} ` +
    `${change(byPromot)}. ${gained}`
  );
}
