/**
 * One client's copy of an answer that other caches on its way may not keep for others: the answer has something added that is
 * for this client alone.
 */
import { fieldValues } from '../http/exchange.ts'
import { parseCacheControl } from './directives.ts'

/** Fields that speak to shared caches alone, and that these obey in place of Cache-Control (RFC 9213 and its forerunners). */
const TO_SHARED_CACHES =
  /^(?:(?:[a-z0-9-]+-)?cdn-cache-control|banyan-cache-control|surrogate-control|x-accel-expires)$/

/** Statuses that a cache may keep without being told so (RFC 9110 section 15.1). */
const KEPT_UNTOLD: ReadonlySet<number> = new Set([200, 203, 204, 206, 300, 301, 304, 308, 404, 405, 410, 414, 451, 501])

/**
 * The fields of an answer for one client: `private` in Cache-Control where shared caches might keep it (RFC 9111 section 3),
 * without what allows that or is for them alone.
 */
export function privateCopy(status: number, fields: readonly string[]): string[] {
  const lines = fieldValues(fields, 'cache-control')
  const said = parseCacheControl(lines)
  const isKept = lines.length > 0 || KEPT_UNTOLD.has(status) || fieldValues(fields, 'expires').length > 0
  const marks = isKept && !said.private && !(said.noStore && !said.mustUnderstand)
  const copy: string[] = []
  let marked = !marks
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string
    const lower = name.toLowerCase()
    if (TO_SHARED_CACHES.test(lower)) continue
    if (lower !== 'cache-control' || !marks) copy.push(name, fields[i + 1] as string)
    else if (!marked) {
      copy.push(name, privately(lines))
      marked = true
    }
  }
  if (!marked) copy.push('Cache-Control', 'private')
  return copy
}

const MEMBER = /(?:[^,"]|"(?:[^"\\]|\\.)*"?)+/g
const SHARED = /^(?:public|private|s-maxage|proxy-revalidate)(?:\s*=|$)/i

function privately(lines: readonly string[]): string {
  const members = (lines.join(',').match(MEMBER) ?? []).map((member) => member.trim())
  return ['private', ...members.filter((member) => member !== '' && !SHARED.test(member))].join(', ')
}
