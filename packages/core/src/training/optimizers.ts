// The optimizer of a stage, as its settings say.
import { Adafactor, AdamW, type Optimizer, type Parameters, type Pieces, Sgd } from '@promot/torch';
import { UserError } from '../base/errors.js';
import type { StageConfig } from '../methods/settings.js';

/**
 * @param pieces where some of what is trained is divided over the ranks
 * @param additions whether what is trained is added to a model (a soft prompt, LoRA), not its own weights. Adafactor is
 * then unfactored and not scaled by the parameter's size (prompt-tuning's settings; LoRA starts at zero, which has no
 * size).
 */
export function makeOptimizer(
  trained: Parameters,
  { optimizer, firstStep, weightDecay, beta2 }: StageConfig,
  additions = false,
  pieces?: Pieces,
): Optimizer {
  switch (optimizer) {
    case 'adafactor':
      if (weightDecay > 0) throw new UserError('weightDecay needs the optimizer adamw or sgd; Adafactor has none');
      return new Adafactor(
        trained,
        additions ? { factored: false, scaleByParameter: false, firstStep, pieces } : { firstStep, pieces },
      );
    case 'adamw':
      return new AdamW(trained, { weightDecay, beta2 });
    case 'sgd':
      return new Sgd(trained, { weightDecay });
  }
}
