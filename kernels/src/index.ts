export { activation } from './activation/activation.ts';
export { adamw } from './adamw/adamw.ts';
export { attention } from './attention/attention.ts';
export { attentionDecode } from './attention_decode/attention_decode.ts';
export { bce } from './bce/bce.ts';
export { bias } from './bias/bias.ts';
export { clipRange } from './clip_range/clip_range.ts';
export { clippedRatio } from './clipped_ratio/clipped_ratio.ts';
export { columns } from './columns/columns.ts';
export { EPILOGUE, type EpilogueName } from './common/epilogue.ts';
export * from './common/launch.ts';
export * from './common/spec.ts';
export { threefry2x32, uniform01 } from './common/threefry.ref.ts';
export {
  applicable,
  DEFAULT_VARIANT,
  lacks,
  type MatrixInfo,
  pickable,
  pickVariant,
  SUBGROUP_MATRIX,
  subgroupMatrixOf,
  variantOf,
} from './common/variants.ts';
export { concat } from './concat/concat.ts';
export { crossEntropy } from './cross_entropy/cross_entropy.ts';
export { decov } from './decov/decov.ts';
export { dropout } from './dropout/dropout.ts';
export { elementwise } from './elementwise/elementwise.ts';
export { embedding } from './embedding/embedding.ts';
export { gate } from './gate/gate.ts';
export { gru } from './gru/gru.ts';
export { gruCell } from './gru_cell/gru_cell.ts';
export { lmHead } from './lm_head/lm_head.ts';
export { matmul } from './matmul/matmul.ts';
export { matmulF16 } from './matmul_f16/matmul_f16.ts';
export { mcts } from './mcts/mcts.ts';
export { dequantize, GROUP, rowWords, type StoredWords, scaleWords, WEIGHT_TYPES, type WeightType } from './qmatmul/format.ts';
export { qmatmul } from './qmatmul/qmatmul.ts';
export { rmsnorm } from './rmsnorm/rmsnorm.ts';
export { rolloutScore } from './rollout_score/rollout_score.ts';
export { rope } from './rope/rope.ts';
export { sampling } from './sampling/sampling.ts';
export { setAttention } from './set_attention/set_attention.ts';
export { softmax } from './softmax/softmax.ts';
export { swiglu } from './swiglu/swiglu.ts';
export { timeAttention } from './time_attention/time_attention.ts';
