//! What an app says before it starts, when its plugins do not fit.

use dunlin_engine::prelude::*;
use std::any::type_name;

struct Base;

impl Plugin for Base {
    fn build(&self, app: &mut App) -> Result<(), BoxError> {
        app.world_mut().insert_resource(Built(vec!["base"]));
        Ok(())
    }
}

#[derive(Resource)]
struct Built(Vec<&'static str>);

struct OnTop;

impl Plugin for OnTop {
    fn requires(&self) -> Vec<&'static str> {
        vec![type_name::<Base>()]
    }

    fn build(&self, app: &mut App) -> Result<(), BoxError> {
        app.world_mut().resource_mut::<Built>().0.push("on top");
        Ok(())
    }
}

struct NeedsTwo;

impl Plugin for NeedsTwo {
    fn requires(&self) -> Vec<&'static str> {
        vec!["the::Moon", "the::Sun"]
    }

    fn build(&self, _: &mut App) -> Result<(), BoxError> {
        Ok(())
    }
}

#[test]
fn a_plugin_is_built_after_what_it_requires_whatever_order_it_was_added_in() {
    let mut app = App::new();
    app.add_plugins((OnTop, Base));
    app.start().expect("both are there");
    assert_eq!(app.world().resource::<Built>().0, ["base", "on top"]);
}

#[test]
fn missing_and_duplicate_plugins_are_named_all_together_before_anything_is_built() {
    let mut app = App::new();
    app.add_plugins((Base, NeedsTwo, Base));
    let error = app.start().expect_err("three things are wrong");
    assert_eq!(error.0.len(), 3, "{error}");
    let text = error.to_string();
    for part in ["the::Moon", "the::Sun", "Base was added twice"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    assert!(!app.world().contains_resource::<Built>());
}

#[test]
fn plugins_that_require_each_other_are_an_error_that_names_them() {
    struct Egg;
    struct Hen;
    impl Plugin for Egg {
        fn requires(&self) -> Vec<&'static str> {
            vec![type_name::<Hen>()]
        }
        fn build(&self, _: &mut App) -> Result<(), BoxError> {
            Ok(())
        }
    }
    impl Plugin for Hen {
        fn requires(&self) -> Vec<&'static str> {
            vec![type_name::<Egg>()]
        }
        fn build(&self, _: &mut App) -> Result<(), BoxError> {
            Ok(())
        }
    }
    let mut app = App::new();
    app.add_plugins((Egg, Hen));
    let error = app.start().expect_err("a circle").to_string();
    assert!(
        error.contains("Egg") && error.contains("Hen") && error.contains("circle"),
        "{error}"
    );
}

#[test]
fn a_group_can_be_edited_before_it_is_added() {
    let group = PluginGroup::new().with(Base).with(NeedsTwo).with(OnTop);
    let mut app = App::new();
    app.add_plugins(group.without::<NeedsTwo>());
    app.start().expect("what needs the moon is out");
    assert_eq!(app.world().resource::<Built>().0, ["base", "on top"]);
}

#[test]
fn a_function_is_a_plugin_and_its_failure_keeps_the_app_from_starting() {
    fn broken(_: &mut App) -> Result<(), BoxError> {
        Err("no such device".into())
    }
    let mut app = App::new();
    app.add_plugins(broken);
    let error = app.start().expect_err("it failed").to_string();
    assert!(
        error.contains("broken") && error.contains("no such device"),
        "{error}"
    );
}

#[test]
fn two_systems_that_conflict_without_an_order_are_an_error_that_names_both() {
    #[derive(Resource, Default)]
    struct Shared(u32);
    fn double(mut shared: ResMut<Shared>) {
        shared.0 *= 2;
    }
    fn increment(mut shared: ResMut<Shared>) {
        shared.0 += 1;
    }
    let mut app = App::new();
    app.world_mut().init_resource::<Shared>();
    app.add_systems(Turn::Route, double);
    app.add_systems(Turn::Route, increment);
    let error = app.start().expect_err("which is first?").to_string();
    assert!(
        error.contains("double") && error.contains("increment"),
        "{error}"
    );

    let mut app = App::new();
    app.world_mut().insert_resource(Shared(1));
    app.add_systems(Turn::Route, (increment, double));
    app.start().expect("a tuple runs in the order written");
    app.turn(Now::default());
    assert_eq!(app.world().resource::<Shared>().0, 4);
}

#[test]
fn a_failed_start_up_system_keeps_the_app_from_starting_and_says_why() {
    fn bind() -> Result {
        Err("127.0.0.1:53: address already in use".into())
    }
    let mut app = App::new();
    app.add_startup(bind);
    let error = app.start().expect_err("the port is taken").to_string();
    assert!(
        error.contains("127.0.0.1:53: address already in use"),
        "{error}"
    );
}

#[test]
fn a_permission_for_no_call_there_is_keeps_the_app_from_starting() {
    let config = Config::parse("[permissions]\n\"calls.lits\" = true\n", "dunlin.toml");
    let mut app = App::with_config(config.expect("TOML"));
    let error = app.start().expect_err("a slip of the pen").to_string();
    assert!(
        error.contains("calls.lits") && error.contains("did you mean \"calls.list\"?"),
        "{error}"
    );
}
