/**
 * Ramps over a table, with a store that keeps every value that was ever written.
 */
import { expect } from 'vitest'
import { Planes } from '../../../src/control/figures/planes.ts'
import { SOLE_OWNER } from '../../../src/control/ownership.ts'
import { type RampParts, Ramps } from '../../../src/control/ramps/ramps.ts'
import { patchRoute } from '../../../src/control/table/edits.ts'
import type { StateRecord, StateStore } from '../../../src/state/store/store.ts'
import { logInto, type Rig, rig } from '../rig.ts'

/** Keeps its records in memory, and every value that was ever written. */
export class Store {
  readonly written: (string | null)[] = []

  /** What a process finds that starts after the n-th write. */
  at(n: number): Store {
    const store = new Store()
    store.written.push(...this.written.slice(0, n))
    return store
  }

  async list(): Promise<readonly StateRecord[]> {
    const value = this.written.at(-1) ?? null
    return value === null ? [] : [{ group: 'moving', key: 'ramp', version: 1, value, atMs: 0 }]
  }

  async write(_space: string, _group: string, _key: string, value: string | null) {
    this.written.push(value)
    return { kind: 'done', version: 1 }
  }
}

/** What ends what a test has begun. */
export type Ends = (() => unknown)[]

export async function tableRig(text: string, ends: Ends): Promise<Rig> {
  const base = await rig(text)
  ends.push(() => base.close())
  return base
}

export async function rampsOn(
  base: Rig,
  ends: Ends,
  store = new Store(),
  more: Partial<RampParts> = {},
): Promise<Ramps> {
  const ramps = new Ramps({
    ...base,
    planes: new Planes(),
    store: store as unknown as StateStore,
    ownership: SOLE_OWNER,
    log: logInto(base.lines),
    now: Date.now,
    monotonic: () => performance.now(),
    ...more,
  })
  await ramps.start()
  ends.push(() => ramps.close())
  return ramps
}

export const byHand = { ifMatch: null, author: 'anna', reason: null }

export const setRoute = (base: Rig, id: string, patch: Record<string, number | string | null>) =>
  base.operations.commit(patchRoute(id, patch), byHand)

export async function replaceTable(base: Rig, text: string): Promise<void> {
  expect((await base.operations.commit(() => ({ kind: 'text', text }), byHand)).kind).toBe('done')
}
