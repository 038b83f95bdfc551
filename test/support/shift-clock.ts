/**
 * Preloaded into a process (`--import`): its clock is ahead of that of the machine by `SHIFT_CLOCK_MS`, or behind it.
 */
const shiftMs = Number(process.env.SHIFT_CLOCK_MS ?? 0)
const Right = Date

class Shifted extends Right {
  constructor(...given: unknown[]) {
    if (given.length === 0) super(Right.now() + shiftMs)
    else super(...(given as [number]))
  }

  static override now(): number {
    return Right.now() + shiftMs
  }
}

globalThis.Date = Shifted as DateConstructor
