// The paper's normalised average over tasks with different metrics.

/**
 * Mean of the tasks' scores, each normalised over [0, 100] (every metric here already spans that range).
 * Errors: a RangeError for no scores or one outside [0, 100].
 */
export function normalizedAverage(scores: readonly number[]): number {
  if (scores.length === 0) throw new RangeError('no scores to average');
  const bad = scores.find((score) => !(score >= 0 && score <= 100));
  if (bad !== undefined) throw new RangeError(`a score of ${bad} is outside [0, 100]`);
  return scores.reduce((sum, score) => sum + score, 0) / scores.length;
}
