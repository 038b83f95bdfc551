/**
 * JSON Merge Patch (RFC 7396).
 */

/** A JSON object, its members unchecked. */
export type JsonObject = { readonly [name: string]: unknown }

/** Whether a value is a JSON object: not null, no list. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * Applies a patch (RFC 7396 section 2): members that are null go, objects are merged, anything else replaces. Neither
 * argument is changed. A name such as `__proto__` is a member like any other.
 */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isJsonObject(patch)) return patch
  const merged = new Map<string, unknown>(isJsonObject(target) ? Object.entries(target) : [])
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name)
    else merged.set(name, mergePatch(merged.get(name), value))
  }
  return Object.fromEntries(merged)
}
