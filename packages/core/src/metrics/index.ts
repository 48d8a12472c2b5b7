// What the room `metrics` offers to the packages above.
export { bootstrapInterval, type Interval, type PairedComparison, pairedBootstrap } from './bootstrap.js';
export { type Answer, type LabelScore, type Metric, type MetricChoice, type MetricResult, resultOf } from './metric.js';
export { computeMetricOnFiles, type MetricReport } from './metric-files.js';
export { ChosenMetric, chooseMetric, computeMetric, metrics, registerMetric } from './registry.js';
