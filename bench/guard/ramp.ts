/**
 * One simulated ramp: traffic, the draw, a judge that looks every second.
 */
import type { Judge } from './judges.ts'
import { Traffic, type World } from './traffic.ts'

export interface RampEnd {
  readonly end: 'done' | 'taken back' | 'unfinished'
  /** The highest percent it stood at. */
  readonly percent: number
  readonly seconds: number
  /** Requests that the new side answered. */
  readonly toRequests: number
}

/**
 * Runs a ramp to its end.
 * @param limitS it is `unfinished` after this
 * @param hold keeps it at one percent, to count until a bad version is found
 */
export function runRamp(world: World, judge: Judge, seed: number, limitS: number, hold: number | null = null): RampEnd {
  const traffic = new Traffic(world, seed)
  let [step, toRequests, percent] = [hold === null ? 0 : judge.steps.indexOf(hold), 0, 0]
  judge.begin(step, 0)
  for (let atS = 0; atS < limitS; atS++) {
    percent = judge.steps[step] as number
    if (world.moving === true && percent < 100 && atS % 60 === 0) judge.move?.(movedTo(atS))
    const share = (world.moving === true && percent < 100 ? movedTo(atS) : percent) / 100
    for (const request of traffic.second(atS)) {
      const isTo = request.bucket < share
      if (isTo) toRequests++
      judge.see(isTo ? 'to' : 'rest', request, traffic.answer(request, isTo ? 'to' : 'from', atS), atS)
      if (world.shadow === true) judge.compared?.(traffic.isMismatch())
    }
    const word = judge.look(atS + 1)
    if (word === 'fail') return { end: 'taken back', percent, seconds: atS + 1, toRequests }
    if (word === 'wait' || hold !== null) continue
    step++
    if (step === judge.steps.length) return { end: 'done', percent, seconds: atS + 1, toRequests }
    judge.begin(step, atS + 1)
  }
  return { end: 'unfinished', percent, seconds: limitS, toRequests }
}

/** Percent of a minute of a ramp that somebody moves all the time. */
function movedTo(atS: number): number {
  return [1, 25, 5, 10][Math.floor(atS / 60) % 4] as number
}
