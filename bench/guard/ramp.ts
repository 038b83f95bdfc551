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
  /** Steps that a person has taken. */
  readonly byPerson: number
}

/**
 * Runs a ramp to its end.
 * @param limitS it is `unfinished` after this
 * @param hold keeps it at one percent, to count until a bad version is found
 */
export function runRamp(world: World, judge: Judge, seed: number, limitS: number, hold: number | null = null): RampEnd {
  const traffic = new Traffic(world, seed)
  let [step, toRequests, percent, sinceS, byPerson] = [hold === null ? 0 : judge.steps.indexOf(hold), 0, 0, 0, 0]
  const ended = (end: RampEnd['end'], seconds: number): RampEnd => ({ end, percent, seconds, toRequests, byPerson })
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
    const nowS = atS + 1
    const word = judge.look(nowS)
    if (word === 'fail') return ended('taken back', nowS)
    const isByPerson = word === 'wait' && nowS - sinceS >= (world.patienceS ?? Number.POSITIVE_INFINITY)
    if ((word === 'wait' && !isByPerson) || hold !== null) continue
    if (isByPerson) byPerson++
    step++
    if (step === judge.steps.length) return ended('done', nowS)
    judge.begin(step, nowS)
    sinceS = nowS
  }
  return ended('unfinished', limitS)
}

/** Percent of a minute of a ramp that somebody moves all the time. */
function movedTo(atS: number): number {
  return [1, 25, 5, 10][Math.floor(atS / 60) % 4] as number
}
