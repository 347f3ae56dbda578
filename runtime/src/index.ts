export { WEIGHT_TYPES, type WeightType } from '@eagrl/kernels';
export { adapterName, isSoftwareName } from './backend/adapter.ts';
export { ReferenceBackend } from './backend/reference.ts';
export { compileAhead } from './backend/rehearsal.ts';
export type {
  Backend,
  BackendKind,
  BackendStats,
  DeviceBuffer,
  DeviceInfo,
  HostData,
  Launch,
  Recording,
  Slice,
  Variants,
} from './backend.ts';
export { SLICE_ALIGN } from './backend.ts';
export { Context } from './context.ts';
export type { ProfileRow } from './debug.ts';
export { DEVICES, type DeviceName, type DeviceOptions, openDevice } from './device.ts';
export { DeviceError } from './errors.ts';
export { type Completion, Engine, type EngineOptions, type SampleRequest, type SamplingOptions, type SeqId } from './generate/engine.ts';
export { EngineError } from './generate/engine_error.ts';
export { branchedBlocks } from './generate/kv_cache.ts';
export { checkParams, type LoadOptions, loadOptimizer, loadParams, loadWeights, saveOptimizer, saveParams } from './io/checkpoint.ts';
export {
  type ByteSource,
  encodeFloats,
  FLOAT_MAX,
  FLOAT_TYPES,
  type FloatType,
  inMemory,
  openSafetensors,
  parseSafetensors,
  SafetensorsError,
  type SafetensorsFile,
  type StoredTensor,
  safetensorsHeader,
  storedBytes,
  type TensorEntry,
  type TensorSource,
  type TensorToStore,
  wholePieces,
  writeSafetensors,
} from './io/safetensors.ts';
export { openShards, parseShardIndex, planShards, type Shard, shardIndex } from './io/shards.ts';
export { encodeRows, type PackedType } from './io/weight_format.ts';
export { ADACARE_DEFAULTS, AdaCare, type AdaCareConfig, adacareParams } from './model/adacare.ts';
export {
  attentionImportance,
  CONCARE_DEFAULTS,
  ConCare,
  type ConCareConfig,
  type ConCareLoss,
  type ConCarePatient,
  concareParams,
} from './model/concare.ts';
export { ModelConfigError, parseTransformerConfig, type TransformerConfig } from './model/config.ts';
export type { ExpertAnswers, ExpertLoss, ExpertModel, ExpertPatient } from './model/expert.ts';
export { GruExpert, gruExpertParams } from './model/gru_expert.ts';
export { LogisticExpert, logisticExpertParams } from './model/logistic_expert.ts';
export { adapterConfig, LORA_MODULES, type LoraConfig, loraNames, loraParams, loraPaths, parseAdapterConfig } from './model/lora.ts';
export {
  checkFits,
  type Generation,
  type GenerationWorkload,
  type MemoryPlan,
  type PlanLine,
  planGeneration,
  planMemory,
  showBytes,
  verdict,
  type Workload,
} from './model/plan.ts';
export type { SeriesConfig } from './model/series_expert.ts';
export { type DropoutDraw, Transformer } from './model/transformer.ts';
export { transformerParams } from './model/transformer_weights.ts';
export { add } from './ops/add.ts';
export { attention } from './ops/attention.ts';
export { clipRange } from './ops/clip_range.ts';
export { type ClippedRatioInputs, clippedRatio } from './ops/clipped_ratio.ts';
export { embedding, gatherRows } from './ops/embedding.ts';
export { linear } from './ops/linear.ts';
export { lmHeadCrossEntropy, lmHeadLogprobs } from './ops/lm_head.ts';
export { matmul } from './ops/matmul.ts';
export { rmsnorm } from './ops/rmsnorm.ts';
export { rope } from './ops/rope.ts';
export { swiglu } from './ops/swiglu.ts';
export type { Weight } from './ops/weight.ts';
export { AdamW, type AdamWOptions, type StepResult } from './optim/adamw.ts';
export { learningRate, SCHEDULES, type Schedule } from './optim/schedule.ts';
export { type Pack, type PromptGroup, packGroups, packTokens, splitPacks } from './pack.ts';
export { type Parameter, type ParamSpec, ParamStore } from './params.ts';
export type { WeightPart } from './parts.ts';
export { normals, streamOf, uniforms } from './rng.ts';
export { type StoredMatrix, StoredWeights } from './stored.ts';
export { Tape } from './tape.ts';
export { sizeOf, type Tensor, view } from './tensor.ts';
export {
  loadTuning,
  matmulRequest,
  saveTuning,
  type TunedShape,
  type TuneRequest,
  type Tuning,
  tune,
  useTuning,
} from './tuning.ts';
