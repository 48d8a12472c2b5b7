// Tasks of lm-evaluation-harness 0.4, under its templates: scores equal its own.
import type { TaskDefinition } from '../task.js';
import { arcChallenge, arcEasy } from './arc.js';
import { boolq } from './boolq.js';
import { copa } from './copa.js';
import { hellaswag } from './hellaswag.js';
import { lambadaOpenai } from './lambada.js';
import { piqa } from './piqa.js';
import { sciq } from './sciq.js';
import { winogrande } from './winogrande.js';

export const harnessTasks: readonly TaskDefinition[] = [
  arcEasy,
  arcChallenge,
  boolq,
  copa,
  hellaswag,
  lambadaOpenai,
  piqa,
  sciq,
  winogrande,
];
