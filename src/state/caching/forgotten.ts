/**
 * What is left of purges that are too many to be remembered one by one: for each of many buckets, the last one that fell into it.
 * An answer whose bucket has a later one counts as purged, which now and then is one too many, and never one too few.
 */
import { type PurgePlace, type PurgeTarget, pathOf, tagsOf, urlForm } from '../../rules/caching/purge.ts'

/** With as many forgotten purges as this an answer older than all of them is lost in two cases of three. */
const BUCKETS = 2 ** 18

/** Forgotten purges, by one of the two orders that count. */
export class ForgottenPurges {
  #last: Uint32Array | null = null
  /** The last of those that are neither of a URL nor of a tag: it covers everything. */
  #lastWide = 0

  /** @param at its number */
  add(target: PurgeTarget, at: number): void {
    const name = nameOf(target)
    if (name === null) {
      this.#lastWide = Math.max(this.#lastWide, at)
      return
    }
    this.#last ??= new Uint32Array(BUCKETS)
    const bucket = bucketOf(name)
    this.#last[bucket] = Math.max(this.#last[bucket] as number, at)
  }

  /** Whether one that may cover an answer has come behind number `seen`. */
  mayCover(place: PurgePlace, rawHeaders: readonly string[], seen: number): boolean {
    if (this.#lastWide > seen) return true
    const last = this.#last
    if (last === null) return false
    const names = [pathNameOf(place.url), ...tagsOf(rawHeaders, place.settings.tags).map(tagNameOf)]
    return names.some((name) => (last[bucketOf(name)] as number) > seen)
  }

  clear(): void {
    this.#last = null
    this.#lastWide = 0
  }
}

function nameOf(target: PurgeTarget): string | null {
  if (target.what === 'url') return pathNameOf(target.url)
  return target.what === 'tag' ? tagNameOf(target.tag) : null
}

/** The path alone: whatever a route's key makes of host and query, it stays. */
function pathNameOf(url: string): string {
  return pathOf(urlForm(url)).split('?', 1)[0] as string
}

function tagNameOf(tag: string): string {
  return `tag ${tag}`
}

/** FNV-1a. */
function bucketOf(name: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193)
  return (hash >>> 0) % BUCKETS
}
