// Figures 1, 2, 3, 5, 6 and 7. Those of RTE (1, 2, 3, 7) are drawn from the same runs, and so are 5 and 6.
import type { CourseExperiment, TradeOffExperiment } from '../experiment.js';

const course = {
  kind: 'course',
  base: 'mt5-xxl',
  target: 'rte',
  contenders: ['fine-tune', 'promot'],
  watches: ['trivia-qa', 'web-questions', 'wmt16-en-de'],
} as const;
const tradeOff = {
  kind: 'trade-off',
  base: 'mt5-xxl',
  target: 'wmt14-en-fr',
  watches: ['cb', 'wic', 'wmt16-en-de', 'wmt16-en-ro'],
  contenders: ['fine-tune', 'promot', 'lora', 'replay', 'wise-ft-0.25', 'wise-ft-0.5', 'wise-ft-0.75'],
} as const;

export const figure1: CourseExperiment = {
  ...course,
  name: 'figure-1',
  place: 'Figure 1, section 3.1',
  shows: 'along fine-tuning on RTE: accuracy there rises, 1-shot question answering is lost',
  draws: 'score',
  tasks: ['trivia-qa', 'web-questions'],
  paper: 'As RTE accuracy rises, the exact match of both question-answering tasks "drops drastically".',
};

export const figure2: CourseExperiment = {
  ...course,
  name: 'figure-2',
  place: 'Figure 2, section 3.2',
  shows: 'along fine-tuning on RTE: the share of True/False among 1-shot outputs on other tasks',
  draws: 'form-share',
  // The paper draws the first and tells of the last.
  tasks: ['trivia-qa', 'web-questions', 'wmt16-en-de'],
  paper:
    'On TriviaQA 90 % of the outputs are True or False after 300 steps; on WMT16 En-De more than 99 % after 500 steps.',
};

export const figure3: CourseExperiment = {
  ...course,
  name: 'figure-3',
  place: 'Figure 3, section 3.3',
  shows: 'cosine of the gradient and the format gradient (shuffled targets), at step 0 and late in fine-tuning',
  draws: 'alignment-ends',
  later: 400,
  tasks: [],
  paper: 'About 1 at step 0; around 0.2 after 400 steps.',
};

export const figure7: CourseExperiment = {
  ...figure3,
  name: 'figure-7',
  place: 'Figure 7, appendix A.3.7',
  shows: 'cosine of the gradient and the format gradient (shuffled targets), along fine-tuning on RTE',
  draws: 'alignment',
  paper: 'From step 0 to 400; it "drops significantly after 300 steps".',
};

export const figure5: TradeOffExperiment = {
  ...tradeOff,
  name: 'figure-5',
  place: 'Figure 5, appendix A.3.2',
  shows: 'checkpoints of a long run on WMT14 En-Fr: its BLEU across, mean accuracy of classification upward',
  tasks: ['cb', 'wic'],
  upward: 'mean accuracy of classification, 1-shot',
  paper: "Within 20,000 steps, ProMoT's points lie higher than those of standard fine-tuning.",
};

export const figure6: TradeOffExperiment = {
  ...tradeOff,
  name: 'figure-6',
  place: 'Figure 6, appendix A.3.2',
  shows: 'checkpoints of a long run on WMT14 En-Fr: its BLEU across, mean BLEU of other language pairs upward',
  tasks: ['wmt16-en-de', 'wmt16-en-ro'],
  upward: 'mean BLEU of other language pairs, 1-shot',
  paper: "Within 20,000 steps, ProMoT's points lie higher than those of standard fine-tuning.",
};
