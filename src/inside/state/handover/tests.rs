//! The handover in every order of the steps of its creators and threads.

mod model;

use super::{AWAITED, CHILD, DONE, GENERATION, Generation, Handover, OPEN, STATE, YIELDS};
use model::{Model, Program, Script, Step, Without};
use std::sync::atomic::{AtomicU32, Ordering};

/// What a creator does with the slot.
#[derive(Clone, Copy, PartialEq)]
enum Use {
    Handover,
    /// Its thread needs no handover.
    Closed,
    /// It is cancelled before it comes to the handover.
    CancelledBefore,
    /// It is cancelled while it places the thread.
    CancelledWithin,
}

/// A creator and its thread for each use, one after another in one slot: the next creator takes it over from the thread
/// that ended. Each creator may be late for as many of them as there are.
fn one_after_another(uses: &[Use]) -> Model {
    let programs = uses.iter().enumerate();
    Model::of(
        programs.flat_map(|(generation, slot)| [creator(generation, *slot), child(generation)]).collect(),
    )
}

fn creator(generation: usize, slot: Use) -> Program {
    Box::new(move |handover| {
        let step = |step| handover.0.step(step);
        if generation > 0 {
            step(Step::TakeSlotOf(2 * generation - 1));
        }
        if slot == Use::Closed {
            handover.close();
            step(Step::Create(2 * generation + 1));
            return;
        }
        let opened = handover.open();
        step(Step::Create(2 * generation + 1));
        if slot == Use::CancelledBefore {
            step(Step::Cancelled);
        }
        handover.creator(opened, || {
            step(Step::Begin(generation));
            if slot == Use::CancelledWithin {
                step(Step::Cancelled);
            }
            step(Step::End(generation));
        });
        step(Step::Return(generation));
    })
}

fn child(generation: usize) -> Program {
    Box::new(move |handover| {
        let step = |step| handover.0.step(step);
        handover.child(|| {
            step(Step::Begin(generation));
            step(Step::End(generation));
        });
        step(Step::GoOn(generation));
    })
}

#[test]
fn one_of_the_two_writes_the_handle_once_before_either_goes_on() {
    let states = one_after_another(&[Use::Handover]).explore().unwrap();
    assert!(states > 50, "{states} states");
}

#[test]
fn a_creator_may_be_late_by_two_generations() {
    for count in [2, 3] {
        let states = one_after_another(&[Use::Handover].repeat(count)).explore().unwrap();
        assert!(states > 1000, "{states} states of {count} generations");
    }
}

#[test]
fn a_creator_may_be_late_when_the_slot_is_used_without_a_handover() {
    let states = one_after_another(&[Use::Handover, Use::Closed, Use::Handover]).explore().unwrap();
    assert!(states > 1000, "{states} states");
}

#[test]
fn a_thread_does_the_work_or_loses_patience_where_its_creator_was_cancelled() {
    for cancelled in [Use::CancelledBefore, Use::CancelledWithin] {
        let model = one_after_another(&[cancelled, Use::Handover]).with_cancelled_creators();
        let states = model.explore().unwrap();
        assert!(states > 50, "{states} states");
    }
}

#[test]
fn the_model_notices_what_is_missing() {
    for (without, fault) in [
        (Without::Wake, "1 threads wait for ever"),
        (Without::Acquire, "without a handle"),
        (Without::Release, "without a handle"),
    ] {
        let found = one_after_another(&[Use::Handover]).without(without).explore().unwrap_err();
        assert!(found.contains(fault), "{found}");
    }
}

#[test]
fn a_creator_that_is_second_yields_and_then_sleeps() {
    let mut answers = vec![GENERATION | CHILD];
    answers.extend([0, GENERATION | CHILD].repeat(YIELDS + 2));
    answers.extend([0, GENERATION | DONE]);
    let handover = Handover(Script::of(answers));
    handover.creator(Generation(GENERATION), || unreachable!());
    let steps = handover.0.steps.into_inner();
    assert_eq!(steps.iter().filter(|step| **step == Step::Yield).count(), YIELDS);
    assert_eq!(steps.iter().filter(|step| **step == Step::Sleep).count(), 3);
}

#[test]
fn each_opening_is_a_generation_of_its_own_and_the_last_is_followed_by_the_first() {
    let handover = Handover(AtomicU32::new(AWAITED));
    assert_eq!(handover.open().0, GENERATION);
    assert_eq!(handover.open().0, 2 * GENERATION);
    assert_eq!(handover.0.load(Ordering::Relaxed), (2 * GENERATION) | OPEN);
    handover.0.store(!STATE | DONE, Ordering::Relaxed);
    assert_eq!(handover.open().0, 0);
}

#[test]
fn a_slot_that_has_had_no_handover_keeps_no_thread_waiting() {
    Handover::new().child(|| unreachable!());
}
