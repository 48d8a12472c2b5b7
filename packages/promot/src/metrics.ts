// The entry `promot/metrics`. Metrics, intervals, comparisons; never loads libtorch.
export * from '@promot/core/metrics';
