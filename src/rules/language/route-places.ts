/**
 * Where the routes are in the text of a table.
 */
import { type Document, isMap, isScalar, isSeq, type Node } from 'yaml'
import { hasAliases } from './number-places.ts'
import { type NumberPlaces, WIDTH } from './numbers.ts'

/**
 * The offsets of the lines where the routes begin, and of the line behind the last one. None where a route can't be read by itself:
 * in brackets, with aliases, or without a dash on its first line.
 */
export type RoutePlaces = Int32Array

/** The routes of a valid text. */
export function routePlaces(parsed: Document.Parsed, text: string): RoutePlaces {
  const none = Int32Array.of()
  const { contents } = parsed
  if (!isMap(contents) || contents.flow === true || hasAliases(parsed, text)) return none
  const at = contents.items.findIndex(({ key }) => isScalar(key) && key.value === 'routes')
  const list = contents.items[at]?.value
  if (!isSeq(list) || list.flow === true || list.items.length === 0) return none
  const places = new Int32Array(list.items.length + 1)
  for (const [index, item] of list.items.entries()) {
    const start = (item as Node).range?.[0] ?? 0
    const line = text.lastIndexOf('\n', start - 1) + 1
    if (!/^ *- +$/.test(text.slice(line, start))) return none
    places[index] = line
  }
  const next = (contents.items[at + 1]?.key as Node | undefined)?.range?.[0]
  const end = next === undefined ? text.length : text.lastIndexOf('\n', next - 1) + 1
  places[list.items.length] = end
  return end >= (places[list.items.length - 1] as number) ? places : none
}

/** The places after the numbers of a text have become others. */
export function movedWith(places: RoutePlaces, before: NumberPlaces, after: NumberPlaces): RoutePlaces {
  const moved = places.slice()
  let [number, shift] = [0, 0]
  for (let at = 0; at < places.length; at++) {
    for (; number < before.length && (before[number] as number) < (places[at] as number); number += WIDTH)
      shift = (after[number + 1] as number) - (before[number + 1] as number)
    moved[at] = (places[at] as number) + shift
  }
  return moved
}
