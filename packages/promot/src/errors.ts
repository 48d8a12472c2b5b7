// The entry `promot/errors`. Errors for people; never loads libtorch.
export * from '@promot/core/errors';
