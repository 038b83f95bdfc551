/**
 * The simulation of ramps: what it leaves out to be quick changes nothing.
 */
import { expect, test } from 'vitest'
import { Guard, type Judge, type Side, type Word } from '../../bench/guard/judges.ts'
import { runRamp } from '../../bench/guard/ramp.ts'
import type { Outcome, Request } from '../../bench/guard/traffic.ts'
import { BAD, GOOD } from '../../bench/guard/worlds.ts'
import { DEFAULT_GUARD } from '../../src/rules/ramp/plan.ts'

const HOLD_S = 100
const LIMIT_S = 3600
/** A person goes on before the guard does, so that all steps are seen. */
const PATIENCE_S = 450

/** Judges everything twice: as the simulation does, and in full at each look. */
class Both implements Judge {
  readonly #quick = new Guard(DEFAULT_GUARD, HOLD_S)
  readonly #eager = new Guard(DEFAULT_GUARD, HOLD_S, true)
  readonly steps = this.#quick.steps
  /** Seconds at which they did not say the same. */
  readonly unlike: number[] = []

  begin(step: number, atS: number): void {
    for (const one of [this.#quick, this.#eager]) one.begin(step, atS)
  }

  move(percent: number): void {
    for (const one of [this.#quick, this.#eager]) one.move(percent)
  }

  see(side: Side, request: Request, outcome: Outcome, atS: number): void {
    for (const one of [this.#quick, this.#eager]) one.see(side, request, outcome, atS)
  }

  compared(isMismatch: boolean): void {
    for (const one of [this.#quick, this.#eager]) one.compared(isMismatch)
  }

  look(atS: number): Word {
    const [quick, eager] = [this.#quick.look(atS), this.#eager.look(atS)]
    if (quick !== eager) this.unlike.push(atS)
    return eager
  }
}

const CHOSEN = ['0.5 % errors', '3 % errors', 'outages of both sides', 'the same, one key with 30 %', 'percent moves']
const worlds = [...GOOD.filter(({ name }) => CHOSEN.some((one) => name.startsWith(one))), ...BAD]

test.each(worlds.map((world) => [world.name, world] as const))('looks left out find nothing: %s', (_, world) => {
  for (const seed of [1, 2]) {
    const both = new Both()
    runRamp({ ...world, patienceS: PATIENCE_S }, both, seed, LIMIT_S)
    expect(both.unlike, `seed ${seed}`).toEqual([])
  }
})
