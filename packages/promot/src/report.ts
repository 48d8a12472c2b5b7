// The entry `promot/report`. Reports: pages, tables, figures; never loads libtorch.
export * from '@promot/core/report';
