/**
 * What comparisons of a route are evidence of: its two sides, the requests that they got, and what was compared of the responses.
 */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { Route } from '../../rules/table/table.ts'

const texts = z.array(z.string())

/** As it is stored beside the counts. */
export const basis = z.object({
  /** Hash of the sides, of the requests that the route claims, and of what it changes in requests and responses. */
  route: z.string(),
  /** Null where nothing was compared. */
  compared: z
    .object({
      /** Hash of the settings but these. */
      how: z.string(),
      ignore: texts,
      keepsValues: z.boolean(),
      redact: texts,
    })
    .nullable(),
})
export type Basis = z.output<typeof basis>

/** @param before of the comparisons that there are: without shadowing they stay what they were */
export function basisOf({ from, targets, shadow, document }: Route, before: Basis | null = null): Basis {
  const upstreams = targets.map(({ upstream }) => upstream)
  const route = hashOf([from, upstreams, document.match, document.rewrite, document.answer])
  if (shadow === null) return { route, compared: before?.compared ?? null }
  const { headers, ignore, unordered, tolerance, redact } = shadow.compare
  const since = document.shadow?.since
  const how = hashOf([
    ...[document.shadow?.match, headers.toSorted(), unordered.toSorted(), tolerance],
    ...(since === undefined ? [] : [since]),
  ])
  return { route, compared: { how, ignore: [...ignore], keepsValues: shadow.keepsValues, redact: [...redact] } }
}

/** Whether comparisons are still evidence: what is ignored in addition is left out of them, everything else would have been compared otherwise. */
export function stillHolds(before: Basis, now: Basis): boolean {
  if (before.route !== now.route) return false
  if (before.compared === null || now.compared === null) return true
  const { how, ignore } = now.compared
  return before.compared.how === how && before.compared.ignore.every((one) => ignore.includes(one))
}

/** Whether samples may show what they must not show any more. */
export function showsTooMuch(before: Basis, now: Basis): boolean {
  if (before.compared?.keepsValues !== true || now.compared === null) return false
  const { redact } = before.compared
  return !now.compared.keepsValues || now.compared.redact.some((one) => !redact.includes(one))
}

const hashOf = (said: readonly unknown[]): string =>
  createHash('sha256').update(JSON.stringify(said)).digest('base64url')
