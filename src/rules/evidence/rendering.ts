/**
 * Values as they are shown in a difference: at most 100 characters, and nothing that is redacted.
 */
import { murmur3 } from '../patterns/draw.ts'
import { type Json, JsonNumber, JsonObject, typeOf } from './json-value.ts'
import type { Marks } from './pointers.ts'

const LONGEST = 100
const KEPT = 60

/** A text, or its beginning with its length and a hash, by which two long ones can be told apart. */
export function shortened(text: string): string {
  const whole = text.length <= LONGEST
  // A cut may go through a pair of surrogates.
  return (whole ? text : `${text.slice(0, KEPT)}… (${text.length} characters, ${hex(murmur3(text))})`).toWellFormed()
}

/** A body of which nothing but its length and hash is shown. */
export function renderBytes(body: Uint8Array): string {
  let text = ''
  for (let at = 0; at < body.length; at += 4096) text += String.fromCharCode(...body.subarray(at, at + 4096))
  return `${body.length} bytes, ${hex(murmur3(text))}`
}

const hex = (hash: number): string => hash.toString(16).padStart(8, '0')

/** A JSON value as JSON; of lists and objects the beginning. */
export function renderJson(value: Json, marks: Marks, isHidden: boolean): string {
  if (typeof value === 'string' && !isHidden && !marks.has('redact')) return shortened(JSON.stringify(value))
  const text = beginningOf(value, marks, isHidden, LONGEST)
  return text.length <= LONGEST ? text : `${text.slice(0, KEPT).toWellFormed()}… (${typeOf(value)} of ${sizeOf(value)})`
}

const sizeOf = (value: Json): string =>
  value instanceof JsonObject
    ? `${value.members.size} members`
    : Array.isArray(value)
      ? `${value.length} elements`
      : `${(value as JsonNumber).text.length} digits`

/** The JSON of a value, complete where it has no more than `room` characters. */
function beginningOf(value: Json, marks: Marks, isHidden: boolean, room: number): string {
  if (isHidden || marks.has('redact')) return `(redacted ${typeOf(value)})`
  if (value instanceof JsonNumber) return value.text
  if (typeof value === 'string') return JSON.stringify(value.slice(0, LONGEST + 1))
  if (value instanceof JsonObject) {
    return joined('{', [...value.members.keys()], '}', room, (key, left) => {
      const name = `${JSON.stringify(marks.hidesKeys ? '*' : key.slice(0, LONGEST + 1))}:`
      return name + beginningOf(value.members.get(key) as Json, marks.below(key), false, left - name.length)
    })
  }
  if (!Array.isArray(value)) return String(value)
  return joined('[', [...value.keys()], ']', room, (i, left) =>
    beginningOf(value[i] as Json, marks.below(i), false, left),
  )
}

function joined<Key>(
  open: string,
  keys: readonly Key[],
  close: string,
  room: number,
  render: (key: Key, left: number) => string,
): string {
  let text = open
  for (const [i, key] of keys.entries()) {
    if (text.length > room) return text
    text += (i === 0 ? '' : ',') + render(key, room - text.length)
  }
  return text + close
}
