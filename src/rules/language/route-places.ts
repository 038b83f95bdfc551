/**
 * Where the routes are in the text of a table.
 */
import { type Document, isMap, isScalar, isSeq, type Node, type YAMLSeq } from 'yaml'
import { hasAliases } from './number-places.ts'
import { type NumberPlaces, WIDTH } from './numbers.ts'

/**
 * The offsets where the routes begin, each with all that stands before the next one, and of the end of the last one: those of lines in
 * a list with dashes, those of braces in a list in brackets. None where a route can't be read by itself: with aliases, without a dash
 * on its first line, or without braces in brackets.
 */
export type RoutePlaces = Int32Array

/** The routes of a valid text. */
export function routePlaces(parsed: Document.Parsed, text: string): RoutePlaces {
  const none = Int32Array.of()
  const { contents } = parsed
  if (!isMap(contents) || hasAliases(parsed, text)) return none
  const at = contents.items.findIndex(({ key }) => isScalar(key) && key.value === 'routes')
  const list = contents.items[at]?.value
  if (!isSeq(list) || list.items.length === 0) return none
  const next = (contents.items[at + 1]?.key as Node | undefined)?.range?.[0]
  return (list.flow === true ? placesInBrackets(list, text) : placesOfLines(list, text, next)) ?? none
}

/** @param next offset of the key behind the list */
function placesOfLines({ items }: YAMLSeq, text: string, next: number | undefined): RoutePlaces | null {
  const places = new Int32Array(items.length + 1)
  for (const [index, item] of items.entries()) {
    const start = (item as Node).range?.[0] ?? 0
    const line = text.lastIndexOf('\n', start - 1) + 1
    if (!/^ *- +$/.test(text.slice(line, start))) return null
    places[index] = line
  }
  const end = next === undefined ? text.length : text.lastIndexOf('\n', next - 1) + 1
  places[items.length] = end
  return end >= (places[items.length - 1] as number) ? places : null
}

/** The rest of the line of the last item in brackets: it is about that one. */
const LINE_END = /[ \t]*,?[ \t]*(?:#[^\n]*)?\n/y

function placesInBrackets({ items }: YAMLSeq, text: string): RoutePlaces | null {
  const places = new Int32Array(items.length + 1)
  for (const [index, item] of items.entries()) {
    const [start = 0, end = 0] = (item as Node).range ?? []
    if (text[start] !== '{' || text[end - 1] !== '}') return null
    places[index] = start
    LINE_END.lastIndex = end
    places[index + 1] = end + (index === items.length - 1 ? (LINE_END.exec(text)?.[0].length ?? 0) : 0)
  }
  return places
}

/** Whether the routes stand in brackets. */
export function areInBrackets(places: RoutePlaces, text: string): boolean {
  return text[places[0] ?? -1] === '{'
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
