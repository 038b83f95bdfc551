/**
 * Who may write: of several instances on one state folder, its owner.
 */

/** As `StateFolder` has it. */
export interface Ownership {
  /** Whether this instance may write. */
  readonly isOwner: boolean
  /** Who does, where this instance does not, with the folder: for a message. */
  readonly owner: string
}

/** An instance with nothing to share. */
export const SOLE_OWNER: Ownership = Object.freeze({ isOwner: true, owner: 'this instance' })
