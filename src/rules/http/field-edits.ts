/**
 * Fields of one message that are dropped or added, whatever came.
 */
import type { Flaw } from '../values/units.ts'
import { isOfConnection } from './field-kinds.ts'

/** What is to be done to the fields of one message. */
export interface DoneEdits {
  readonly drops: ReadonlySet<string>
  /** Name, value, name, value. */
  readonly added: readonly string[]
}

/** A name as CGI and its heirs read it (RFC 3875 section 4.1.18): in lower case, with dashes for all but letters and digits. */
export function dashedName(name: string): string {
  const lower = name.toLowerCase()
  return /^[a-z0-9-]*$/.test(lower) ? lower : lower.replace(/[^a-z0-9]/g, '-')
}

/** The fields with edits done: what is set stands at the end. */
export function editedFields(fields: readonly string[], { drops, added }: DoneEdits): string[] {
  const edited: string[] = []
  for (let i = 0; i < fields.length; i += 2) {
    if (!drops.has(dashedName(fields[i] as string))) edited.push(fields[i] as string, fields[i + 1] as string)
  }
  edited.push(...added)
  return edited
}

/** What the table can't set or remove, and what to do instead. */
const OWN: Readonly<Record<string, string>> = {
  'content-length': 'framing is not for the table to change',
  'transfer-encoding': 'framing is not for the table to change',
  host: 'use host of the upstream',
  expect: 'it belongs to the connection',
  'max-forwards': 'banyan counts it down',
  'cdn-loop': 'loops are detected by it',
  'banyan-upstream': 'it is for banyan',
  'banyan-force': 'it is for banyan',
  'banyan-shadow': 'it is for banyan',
}

/** By these the cache and ranges work. */
const CONDITIONS: ReadonlySet<string> = new Set([
  ...['if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since', 'if-range', 'range'],
])

/** Of answers: what banyan's cache says or needs. */
const OF_ANSWERS: ReadonlySet<string> = new Set(['age', 'content-range'])

/** Why a field can't be set or removed, or null. */
export function flawOfEdited(name: string, of: 'request' | 'response', isSet: boolean): Flaw | null {
  const dashed = dashedName(name)
  const refused = (hint: string): Flaw => ({ message: `${name} can't be ${isSet ? 'set' : 'removed'}`, hint })
  const own = of === 'response' && !FRAMING.has(dashed) ? undefined : OWN[dashed]
  if (own !== undefined) return refused(own)
  if (isOfConnection(dashed)) return refused('it belongs to the connection')
  if (of === 'request' && CONDITIONS.has(dashed)) return refused('conditions and ranges are those of the client')
  if (of === 'response' && OF_ANSWERS.has(dashed)) return refused('it is said of the response that is sent')
  if (dashed === 'via' && isSet) return refused(of === 'request' ? 'use via of the upstream' : 'proxies add themselves')
  return null
}

const FRAMING: ReadonlySet<string> = new Set(['content-length', 'transfer-encoding'])
