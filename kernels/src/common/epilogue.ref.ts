/** f64 oracle of what products do last. */
import { EPILOGUE } from './epilogue.ts';

export const sigmoid = (v: number): number => 1 / (1 + Math.exp(-v));

export const silu = (v: number): number => v * sigmoid(v);

export function applyEpilogue(epilogue: number, aux: number, value: number): number {
  if (epilogue === EPILOGUE.none) return value;
  return epilogue === EPILOGUE.residual ? aux + value : silu(aux) * value;
}
