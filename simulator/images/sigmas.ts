// The noise levels that a stream's intermediates name: those of one capture, and for other step counts values between them.

/** k_euler_ancestral, karras, 23 steps, V4.5 (contract 3.2). */
const CAPTURED = [
  20000, 113.89996337890625, 81.93485260009766, 57.86742401123047, 41.3076286315918, 29.0427398681640625,
  22.6481876373291, 17.490964889526367, 13.628925323486328, 10.533465385437012, 8.186910629272461, 6.322396755218506,
  4.901496410369873, 3.7801311016082764, 2.9214534759521484, 2.261305570602417, 1.7424652576446533, 1.3446406126022339,
  1.0364311933517456, 0.7986377477645874, 0.5548192262649536, 0.31205201148986816,
] as const;

/** Gives the sigma of intermediate `step` of `count`, counted from 0. */
export function sigmaOf(step: number, count: number): number {
  const at = count <= 1 ? 0 : (step * (CAPTURED.length - 1)) / (count - 1);
  const before = CAPTURED[Math.floor(at)] ?? CAPTURED[0];
  const after = CAPTURED[Math.ceil(at)] ?? before;
  return before + (after - before) * (at - Math.floor(at));
}
