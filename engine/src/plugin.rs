//! Plugins: how a capability enters an [`App`].

use crate::App;
use std::any::type_name;

/// Any error that a plugin's set-up may end with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A capability. Plugins are structs with public fields and `Default`; a function `fn(&mut App) -> Result<(), BoxError>` is one too.
///
/// All plugins of an app are checked together before any is built: a duplicate and a missing one are errors that name it, and
/// dependencies are built first whatever order they were added in.
pub trait Plugin: Send + 'static {
    /// By what other plugins require it, and errors name it.
    fn name(&self) -> &'static str {
        type_name::<Self>()
    }

    /// Names of the plugins that must be there; `type_name::<OtherPlugin>()`, or the other's own name.
    fn requires(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Registers components, messages, timers, systems, calls.
    ///
    /// # Errors
    /// Whatever keeps the plugin from working; the app then does not start.
    fn build(&self, app: &mut App) -> Result<(), BoxError>;
}

impl<F> Plugin for F
where
    F: Fn(&mut App) -> Result<(), BoxError> + Send + 'static,
{
    fn build(&self, app: &mut App) -> Result<(), BoxError> {
        self(app)
    }
}

/// A plugin, a tuple of plugins, or a [`PluginGroup`].
pub trait Plugins<Marker> {
    #[doc(hidden)]
    fn collect(self, into: &mut Vec<Box<dyn Plugin>>);
}

#[doc(hidden)]
pub struct Single;

impl<P: Plugin> Plugins<Single> for P {
    fn collect(self, into: &mut Vec<Box<dyn Plugin>>) {
        into.push(Box::new(self));
    }
}

#[doc(hidden)]
pub struct Group;

impl Plugins<Group> for PluginGroup {
    fn collect(self, into: &mut Vec<Box<dyn Plugin>>) {
        into.extend(self.0);
    }
}

macro_rules! plugins_tuple {
    ($(($plugin:ident, $marker:ident)),*) => {
        #[expect(non_snake_case, reason = "the macro names each variable as its type")]
        impl<$($plugin, $marker),*> Plugins<($($marker,)*)> for ($($plugin,)*)
        where
            $($plugin: Plugins<$marker>),*
        {
            fn collect(self, into: &mut Vec<Box<dyn Plugin>>) {
                let ($($plugin,)*) = self;
                $($plugin.collect(into);)*
            }
        }
    };
}

/// No plugin.
impl Plugins<()> for () {
    fn collect(self, _: &mut Vec<Box<dyn Plugin>>) {}
}

plugins_tuple!((A, MA));
plugins_tuple!((A, MA), (B, MB));
plugins_tuple!((A, MA), (B, MB), (C, MC));
plugins_tuple!((A, MA), (B, MB), (C, MC), (D, MD));
plugins_tuple!((A, MA), (B, MB), (C, MC), (D, MD), (E, ME));
plugins_tuple!((A, MA), (B, MB), (C, MC), (D, MD), (E, ME), (F, MF));

/// A list of plugins that belong together, and that an app may edit before it adds them.
#[derive(Default)]
pub struct PluginGroup(Vec<Box<dyn Plugin>>);

impl PluginGroup {
    /// An empty group.
    #[must_use]
    pub fn new() -> PluginGroup {
        PluginGroup::default()
    }

    /// Adds a plugin to the group, in place of the one with its name if there is one.
    #[must_use]
    pub fn with(mut self, plugin: impl Plugin) -> PluginGroup {
        self.0.retain(|known| known.name() != plugin.name());
        self.0.push(Box::new(plugin));
        self
    }

    /// Leaves out the plugin of type `P`, if it is there.
    #[must_use]
    pub fn without<P: Plugin>(mut self) -> PluginGroup {
        self.0.retain(|known| known.name() != type_name::<P>());
        self
    }
}

/// What is wrong with an app, all of it together.
#[derive(Debug)]
pub struct StartError(pub Vec<String>);

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for StartError {}

/// Puts plugins into an order in which each comes after what it requires, and otherwise as added.
pub(crate) fn in_order(plugins: Vec<Box<dyn Plugin>>) -> Result<Vec<Box<dyn Plugin>>, StartError> {
    let mut errors = Vec::new();
    for (place, plugin) in plugins.iter().enumerate() {
        let name = plugin.name();
        // All closures of one function have the same name, so only what has a name of its own can be twice.
        let named = !name.ends_with("{{closure}}");
        if named && plugins[..place].iter().any(|other| other.name() == name) {
            errors.push(format!("plugin {name} was added twice: remove one"));
        }
        for required in plugin.requires() {
            if !plugins.iter().any(|other| other.name() == required) {
                errors.push(format!(
                    "plugin {name} requires {required}, which was not added: add it with add_plugins"
                ));
            }
        }
    }
    if !errors.is_empty() {
        return Err(StartError(errors));
    }
    let mut waiting = plugins;
    let mut ordered: Vec<Box<dyn Plugin>> = Vec::new();
    while !waiting.is_empty() {
        let ready = waiting.iter().position(|plugin| {
            plugin
                .requires()
                .iter()
                .all(|required| ordered.iter().any(|done| done.name() == *required))
        });
        let Some(ready) = ready else {
            let names: Vec<_> = waiting.iter().map(|plugin| plugin.name()).collect();
            return Err(StartError(vec![format!(
                "plugins require each other in a circle: {}",
                names.join(", ")
            )]));
        };
        ordered.push(waiting.remove(ready));
    }
    Ok(ordered)
}
